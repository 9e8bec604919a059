rule cut_clips:
    input:
        recordings="work/tables/{dataset}/recordings.parquet",
        events="work/tables/{dataset}/events.parquet",
    output:
        "work/clips/{dataset}/{file}.h5",
    log:
        "logs/cut_clips/{dataset}/{file}.log",
    benchmark:
        "benchmarks/cut_clips/{dataset}/{file}.tsv"
    # As the rule ingest: it reads the raw data.
    localrule: BUCKET is not None
    conda:
        "../environment.yml"
    threads: 2
    resources:
        mem_mb=2000,
    params:
        dataset=dataset_params,
        shape=by_path("work/clips/{dataset}/{file}.h5"),
    message:
        "Cutting clips of {wildcards.dataset} ({wildcards.file})"
    script:
        "../workflow_scripts/cut_clips.py"
