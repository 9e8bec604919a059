rule evaluate:
    input:
        unpack(evaluation_inputs),
        weights="work/runs/{task}/{experiment}/{job}/model.safetensors",
        description="work/runs/{task}/{experiment}/{job}/model.json",
    output:
        predictions="work/runs/{task}/{experiment}/{job}/predictions.parquet",
        metrics="work/runs/{task}/{experiment}/{job}/metrics.json",
        report=report(
            "work/runs/{task}/{experiment}/{job}/report.txt",
            caption="../report/numbers.rst",
            category="{task}",
            subcategory="Numbers",
            labels={"experiment": "{experiment}", "job": "{job}"},
        ),
        curves=multiext("work/runs/{task}/{experiment}/{job}/", "roc.csv", "pr.csv"),
        outcomes="work/runs/{task}/{experiment}/{job}/outcomes.csv",
        lists=multiext(
            "work/runs/{task}/{experiment}/{job}/",
            "tps.txt",
            "tns.txt",
            "fps.txt",
            "fns.txt",
        ),
        figures=report(
            directory("work/runs/{task}/{experiment}/{job}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="{task}",
            subcategory="Figures",
            labels={
                "experiment": "{experiment}",
                "job": "{job}",
                "figure": "{figure}",
            },
        ),
        spectrograms=report(
            directory("work/runs/{task}/{experiment}/{job}/spectrograms"),
            patterns=["{picture}.png"],
            caption="../report/spectrograms.rst",
            category="{task}",
            subcategory="Spectrograms",
            labels={
                "experiment": "{experiment}",
                "job": "{job}",
                "picture": "{picture}",
            },
        ),
        outcome_pictures=report(
            directory("work/runs/{task}/{experiment}/{job}/outcomes"),
            patterns=["{outcome}/{clip}.png"],
            caption="../report/outcomes.rst",
            category="{task}",
            subcategory="Outcomes",
            labels={
                "experiment": "{experiment}",
                "job": "{job}",
                "outcome": "{outcome}",
                "clip": "{clip}",
            },
        ),
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
        job=by_job(lambda *job: job_params(PLAN.job(*job))),
        features=by_job(lambda *job: PLAN.files(*job).spectrograms),
        clips=by_job(lambda *job: PLAN.files(*job).clips),
        task=lambda wildcards: task_params(PLAN.task(wildcards.task)),
        show_names=PROJECT.publish.names,
    message:
        "Evaluating {wildcards.task}/{wildcards.experiment}, job {wildcards.job}"
    script:
        "../workflow_scripts/evaluate.py"
