rule make_split:
    input:
        tables=by_path(
            "work/splits/{task}/{file}.csv",
            lambda made_with: tables_of(made_with["datasets"]),
        ),
        accounts=by_path(
            "work/splits/{task}/{file}.csv",
            lambda made_with: accounts_of(made_with["datasets"]),
        ),
    output:
        split="work/splits/{task}/{file}.csv",
        audit="work/splits/{task}/{file}.audit.json",
        flow="work/splits/{task}/{file}.flow.csv",
    log:
        "logs/make_split/{task}/{file}.log",
    benchmark:
        "benchmarks/make_split/{task}/{file}.tsv"
    priority: 10  # a task that the data cannot support fails here, before clips are cut
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        shape=by_path("work/splits/{task}/{file}.csv"),
    message:
        "Dividing the patients of {wildcards.task} into train, val and test ({wildcards.file})"
    script:
        "../workflow_scripts/make_split.py"
