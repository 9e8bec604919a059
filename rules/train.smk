rule train:
    input:
        unpack(training_inputs),
        clips=by_job(lambda *job: all_of(PLAN.clips_read(*job))),
        earlier=by_job(PLAN.upstream_files),
        member_splits=by_job(PLAN.member_splits),
    output:
        weights="work/runs/{group}/{experiment}/{job}/model.safetensors",
        description="work/runs/{group}/{experiment}/{job}/model.json",
        history="work/runs/{group}/{experiment}/{job}/history.csv",
    log:
        "work/runs/{group}/{experiment}/{job}/train.log",
    benchmark:
        "benchmarks/train/{group}/{experiment}/{job}.tsv"
    # None inside a cluster's job: there the next attempt is a job of its own, with its own time limit.
    retries: PROJECT.retries if workflow.is_main_process else 0
    conda:
        "../environment.yml"
    # train.devices: as many processes, started inside the one job, each with a GPU where there are any.
    threads: by_job(lambda *job: 2 * PLAN.job(*job).train.devices)
    resources:
        gpu=by_job(lambda *job: PLAN.job(*job).train.devices),
        mem_mb=8000,
        attempt_number=lambda wildcards, attempt: attempt,
    params:
        job=by_job(PLAN.train_params),
        earlier=by_job(PLAN.upstream_facts),
        features=by_job(lambda *job: PLAN.files(*job).spectrograms),
        embeddings=by_job(lambda *job: PLAN.files(*job).embeddings),
        clips=by_job(PLAN.clips_read),
        noise=by_job(lambda *job: PLAN.noise_inventories(PLAN.job(*job))),
        task=lambda wildcards: task_params(
            PLAN.task_of(wildcards.group, wildcards.experiment)
        ),
    message:
        "Training {wildcards.group}/{wildcards.experiment}, job {wildcards.job}"
    script:
        "../workflow_scripts/train.py"
