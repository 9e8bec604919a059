rule evaluate:
    input:
        unpack(evaluation_inputs),
        weights="work/runs/{group}/{experiment}/{job}/model.safetensors",
        description="work/runs/{group}/{experiment}/{job}/model.json",
    output:
        predictions="work/runs/{group}/{experiment}/{job}/predictions.parquet",
        metrics="work/runs/{group}/{experiment}/{job}/metrics.json",
        report=report(
            "work/runs/{group}/{experiment}/{job}/report.txt",
            caption="../report/numbers.rst",
            category="{group}",
            subcategory="Numbers",
            labels={"experiment": "{experiment}", "job": "{job}"},
        ),
        curves=multiext("work/runs/{group}/{experiment}/{job}/", "roc.csv", "pr.csv"),
        outcomes="work/runs/{group}/{experiment}/{job}/outcomes.csv",
        lists=multiext(
            "work/runs/{group}/{experiment}/{job}/",
            "tps.txt",
            "tns.txt",
            "fps.txt",
            "fns.txt",
        ),
        figures=report(
            directory("work/runs/{group}/{experiment}/{job}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="{group}",
            subcategory="Figures",
            labels={
                "experiment": "{experiment}",
                "job": "{job}",
                "figure": "{figure}",
            },
        ),
        clinical=report(
            directory("work/runs/{group}/{experiment}/{job}/clinical"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="{group}",
            subcategory="Clinical evaluation",
            labels={
                "experiment": "{experiment}",
                "job": "{job}",
                "figure": "{figure}",
            },
        ),
        spectrograms=report(
            directory("work/runs/{group}/{experiment}/{job}/spectrograms"),
            patterns=["{picture}.png"],
            caption="../report/spectrograms.rst",
            category="{group}",
            subcategory="Spectrograms",
            labels={
                "experiment": "{experiment}",
                "job": "{job}",
                "picture": "{picture}",
            },
        ),
        outcome_pictures=report(
            directory("work/runs/{group}/{experiment}/{job}/outcomes"),
            patterns=["{outcome}/{clip}.png"],
            caption="../report/outcomes.rst",
            category="{group}",
            subcategory="Outcomes",
            labels={
                "experiment": "{experiment}",
                "job": "{job}",
                "outcome": "{outcome}",
                "clip": "{clip}",
            },
        ),
    log:
        "logs/evaluate/{group}/{experiment}/{job}.log",
    benchmark:
        "benchmarks/evaluate/{group}/{experiment}/{job}.tsv"
    conda:
        "../environment.yml"
    threads: 2
    resources:
        mem_mb=8000,
    params:
        job=by_job(lambda *job: job_params(PLAN.job(*job))),
        features=by_job(lambda *job: PLAN.files(*job).spectrograms),
        embeddings=by_job(lambda *job: PLAN.files(*job).embeddings),
        clips=by_job(lambda *job: PLAN.files(*job).clips),
        task=lambda wildcards: task_params(
            PLAN.task_of(wildcards.group, wildcards.experiment)
        ),
        show_names=PROJECT.publish.names,
    message:
        "Evaluating {wildcards.group}/{wildcards.experiment}, job {wildcards.job}"
    script:
        "../workflow_scripts/evaluate.py"
