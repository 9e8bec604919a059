rule train:
    input:
        unpack(training_inputs),
        clips=clips_files,
        earlier=earlier_files,
    output:
        weights="work/runs/{task}/{experiment}/{job}/model.safetensors",
        description="work/runs/{task}/{experiment}/{job}/model.json",
        history="work/runs/{task}/{experiment}/{job}/history.csv",
    log:
        "work/runs/{task}/{experiment}/{job}/train.log",
    benchmark:
        "benchmarks/train/{task}/{experiment}/{job}.tsv"
    # In a cluster's job none: the next attempt is a job of its own, with its own time.
    retries: PROJECT.retries if workflow.is_main_process else 0
    conda:
        "../environment.yml"
    # train.devices: as many processes, started inside the one job, each with a GPU where there are any.
    threads: lambda wildcards: 2 * job_of(wildcards).train.devices
    resources:
        gpu=lambda wildcards: job_of(wildcards).train.devices,
        mem_mb=8000,
        attempt_number=lambda wildcards, attempt: attempt,
    params:
        job=train_params,
        earlier=earlier_facts,
        features=features_of,
        clips=clips_of,
        noise=noise_of,
        task=lambda wildcards: task_params(task_of(wildcards.task)),
    message:
        "Training {wildcards.task}/{wildcards.experiment}, job {wildcards.job}"
    script:
        "../workflow_scripts/train.py"
