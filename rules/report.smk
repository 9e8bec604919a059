rule track:
    input:
        weights=jobs_files("work/runs/{group}/{experiment}/{job}/model.safetensors"),
        metrics=jobs_files("work/runs/{group}/{experiment}/{job}/metrics.json"),
        summaries=by_experiment(PLAN.summaries),
    output:
        "work/runs/{group}/{experiment}/tracked.json",
    log:
        "logs/track/{group}/{experiment}.log",
    benchmark:
        "benchmarks/track/{group}/{experiment}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        experiment=experiment_params,
        task=lambda wildcards: PLAN.task_of(
            wildcards.group, wildcards.experiment
        ).model_dump(mode="json"),
        # Only what shapes what is logged at the end.
        tracking=PROJECT.tracking.model_dump(
            mode="json", include={"enabled", "uri", "register_model"}
        ),
        untracked=by_experiment(PLAN.untracked),
    message:
        "Logging {wildcards.group}/{wildcards.experiment} with MLflow"
    script:
        "../workflow_scripts/track.py"


rule publish:
    input:
        metrics=jobs_files("work/runs/{group}/{experiment}/{job}/metrics.json"),
        audits=by_experiment(PLAN.audits),
        summaries=by_experiment(PLAN.summaries),
        recordings=by_experiment(PLAN.recordings),
        tracked="work/runs/{group}/{experiment}/tracked.json",
        protocol=by_experiment(of_repository(PLAN.protocols)),
        studies=by_experiment(of_repository(PLAN.studies)),
        search=by_experiment(PLAN.search),
    output:
        report(
            directory("results/{group}/{experiment}"),
            patterns=["{page}.html"],
            caption="../report/result.rst",
            category="{group}",
            subcategory="Result",
            labels={"experiment": "{experiment}", "page": "{page}"},
        ),
    log:
        "logs/publish/{group}/{experiment}.log",
    benchmark:
        "benchmarks/publish/{group}/{experiment}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        experiment=experiment_params,
        task=lambda wildcards: PLAN.task_of(
            wildcards.group, wildcards.experiment
        ).model_dump(mode="json"),
        untracked=by_experiment(PLAN.untracked),
        plugins=by_experiment(PLAN.plugins),
        show_names=PROJECT.publish.names,
    message:
        "Publishing results/{wildcards.group}/{wildcards.experiment}"
    script:
        "../workflow_scripts/publish.py"


localrules:
    track,
    publish,
