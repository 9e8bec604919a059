rule make_spectrograms:
    input:
        clips=by_path(
            "work/features/{dataset}/{file}.h5", lambda made_with: made_with["clips"]
        ),
    output:
        "work/features/{dataset}/{file}.h5",
    log:
        "logs/make_spectrograms/{dataset}/{file}.log",
    benchmark:
        "benchmarks/make_spectrograms/{dataset}/{file}.tsv"
    conda:
        "../environment.yml"
    threads: 2
    resources:
        mem_mb=2000,
    params:
        shape=by_path("work/features/{dataset}/{file}.h5"),
    message:
        "Computing spectrograms of {wildcards.dataset} ({wildcards.file})"
    script:
        "../workflow_scripts/make_spectrograms.py"
