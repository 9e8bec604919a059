# auscult: from raw recordings to a report. rules/ has one file a stage; rules/common.smk holds what they share.
#
#   snakemake --cores all results/pneumonia/train2356

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"


# Of all rules; taken with profiles/container, or where slurm-gpu finds AUSCULT_CONTAINER.
container: PROJECT.image


include: "rules/ingest.smk"
include: "rules/clips.smk"
include: "rules/spectrograms.smk"
include: "rules/embeddings.smk"
include: "rules/split.smk"
include: "rules/train.smk"
include: "rules/tune.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


if workflow.enable_cache:
    share_in_cache("cut_clips", "make_spectrograms")


# Checked here: Snakemake looks for its targets only after this file is read, and would show a traceback.
clear_errors(PLAN.check_targets)(sys.argv[1:])


rule all:
    default_target: True
    input:
        clear_errors(lambda wildcards: PLAN.results_of_tracked_data()),
