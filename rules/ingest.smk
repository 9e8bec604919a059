rule ingest:
    input:
        raw_data,
    output:
        recordings="work/tables/{dataset}/recordings.parquet",
        events="work/tables/{dataset}/events.parquet",
        rejected="work/tables/{dataset}/rejected.csv",
        summary="work/tables/{dataset}/summary.json",
    log:
        "logs/ingest/{dataset}.log",
    benchmark:
        "benchmarks/ingest/{dataset}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        dataset=lambda wildcards: dataset_of(wildcards.dataset).model_dump(mode="json"),
        inventory=raw_inventory,
    message:
        "Reading the raw layout of {wildcards.dataset}"
    script:
        "../workflow_scripts/ingest.py"
