rule evaluate:
    input:
        unpack(evaluation_inputs),
        weights="work/runs/{task}/{experiment}/{job}/model.safetensors",
        description="work/runs/{task}/{experiment}/{job}/model.json",
    output:
        predictions="work/runs/{task}/{experiment}/{job}/predictions.parquet",
        metrics="work/runs/{task}/{experiment}/{job}/metrics.json",
        report="work/runs/{task}/{experiment}/{job}/report.txt",
        curves=multiext("work/runs/{task}/{experiment}/{job}/", "roc.csv", "pr.csv"),
        outcomes="work/runs/{task}/{experiment}/{job}/outcomes.csv",
        lists=multiext(
            "work/runs/{task}/{experiment}/{job}/",
            "tps.txt",
            "tns.txt",
            "fps.txt",
            "fns.txt",
        ),
        figures=directory("work/runs/{task}/{experiment}/{job}/figures"),
        spectrograms=directory("work/runs/{task}/{experiment}/{job}/spectrograms"),
        outcome_pictures=directory("work/runs/{task}/{experiment}/{job}/outcomes"),
    log:
        "logs/evaluate/{task}/{experiment}/{job}.log",
    benchmark:
        "benchmarks/evaluate/{task}/{experiment}/{job}.tsv"
    conda:
        "../environment.yml"
    threads: 2
    resources:
        mem_mb=8000,
    params:
        job=job_params,
        features=features_of,
        clips=all_clips_of,
        task=lambda wildcards: task_params(task_of(wildcards.task)),
    message:
        "Evaluating {wildcards.task}/{wildcards.experiment}, job {wildcards.job}"
    script:
        "../workflow_scripts/evaluate.py"
