rule fetch_raw:
    output:
        "work/raw/{dataset}.json",
    log:
        "logs/fetch_raw/{dataset}.log",
    benchmark:
        "benchmarks/fetch_raw/{dataset}.tsv"
    # On the machine that runs Snakemake: compute nodes often have no network.
    localrule: True
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        root=by_dataset(lambda name: PLAN.dataset(name).root),
    message:
        "Fetching the raw files of {wildcards.dataset}"
    script:
        "../workflow_scripts/fetch_raw.py"


rule decode_audio:
    input:
        by_dataset(raw_inputs),
    output:
        "work/tables/{dataset}/audio_facts-part-{part}-of-{parts}.parquet",
    log:
        "logs/decode_audio/{dataset}-part-{part}-of-{parts}.log",
    benchmark:
        "benchmarks/decode_audio/{dataset}-part-{part}-of-{parts}.tsv"
    wildcard_constraints:
        part="[0-9]{5}",
        parts="[0-9]{5}",
    # Raw data are no file of a rule: without a shared disk they lie on the machine that runs Snakemake alone.
    localrule: BUCKET is not None
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        dataset=dataset_params,
        inventory=by_dataset(PLAN.raw_inventory),
        stage_version=paths.STAGE_VERSIONS["ingest"],
    message:
        "Decoding the audio of {wildcards.dataset}, part {wildcards.part} of {wildcards.parts}"
    script:
        "../workflow_scripts/decode_audio.py"


rule ingest:
    input:
        by_dataset(raw_inputs),
        audio_facts=by_dataset(
            lambda name: paths.audio_facts_paths(name, PLAN.dataset(name))
        ),
    output:
        recordings="work/tables/{dataset}/recordings.parquet",
        events="work/tables/{dataset}/events.parquet",
        rejected="work/tables/{dataset}/rejected.csv",
        flow="work/tables/{dataset}/flow.csv",
        summary="work/tables/{dataset}/summary.json",
    log:
        "logs/ingest/{dataset}.log",
    benchmark:
        "benchmarks/ingest/{dataset}.tsv"
    # Raw data are no file of a rule: without a shared disk they lie on the machine that runs Snakemake alone.
    localrule: BUCKET is not None
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        dataset=dataset_params,
        inventory=by_dataset(PLAN.raw_inventory),
        stage_version=by_dataset(lambda name: paths.ingest_version(PLAN.dataset(name))),
    message:
        "Ingesting {wildcards.dataset}: tables of recordings and events"
    script:
        "../workflow_scripts/ingest.py"
