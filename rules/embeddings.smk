rule embed_clips:
    input:
        stored=by_path(
            "work/embeddings/{dataset}/{file}.h5",
            lambda made_with: made_with["stored"],
        ),
        encoder=by_path(
            "work/embeddings/{dataset}/{file}.h5",
            lambda made_with: made_with["needs"],
        ),
    output:
        "work/embeddings/{dataset}/{file}.h5",
    log:
        "logs/embed_clips/{dataset}/{file}.log",
    benchmark:
        "benchmarks/embed_clips/{dataset}/{file}.tsv"
    conda:
        "../environment.yml"
    threads: 2
    resources:
        mem_mb=8000,
    params:
        shape=by_path("work/embeddings/{dataset}/{file}.h5"),
    message:
        "Computing embeddings of {wildcards.dataset} ({wildcards.file})"
    script:
        "../workflow_scripts/embed_clips.py"
