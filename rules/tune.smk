# A rung needs no earlier one: its training goes on from whatever state there is. The rest is as in the rule train.
rule tune_rung:
    input:
        unpack(trial_inputs),
        clips=by_trial(lambda job, files: all_of(clips_of(job, files))),
        earlier=clear_errors(
            lambda wildcards: PLAN.trial_upstream_files(
                wildcards.group, wildcards.experiment, wildcards.trial
            )
        ),
    output:
        "work/tune/{group}/{experiment}/trials/{trial}/seed{seed}/epoch{epoch}.json",
    log:
        "work/tune/{group}/{experiment}/trials/{trial}/seed{seed}/epoch{epoch}.log",
    benchmark:
        "benchmarks/tune_rung/{group}/{experiment}/{trial}/seed{seed}-epoch{epoch}.tsv"
    retries: PROJECT.retries if workflow.is_main_process else 0
    conda:
        "../environment.yml"
    threads: by_trial(lambda job, files: 2 * job.train.devices)
    resources:
        gpu=by_trial(lambda job, files: job.train.devices),
        mem_mb=8000,
    params:
        job=by_trial(lambda job, files: job_params(job)),
        features=by_trial(lambda job, files: files.spectrograms),
        clips=by_trial(clips_of),
        noise=by_trial(lambda job, files: PLAN.noise_inventories(job)),
        task=lambda wildcards: task_params(
            PLAN.task_of(wildcards.group, wildcards.experiment)
        ),
    message:
        "Training trial {wildcards.trial} of {wildcards.group}/{wildcards.experiment} to epoch {wildcards.epoch}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/tune_rung.py"


use rule tune_rung as range_test with:
    output:
        "work/tune/{group}/{experiment}/trials/{trial}/seed{seed}/range{steps}.json",
    log:
        "work/tune/{group}/{experiment}/trials/{trial}/seed{seed}/range{steps}.log",
    benchmark:
        "benchmarks/range_test/{group}/{experiment}/{trial}/seed{seed}-range{steps}.tsv"
    message:
        "Range test of the learning rate for {wildcards.group}/{wildcards.experiment}, {wildcards.steps} steps"
