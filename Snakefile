# auscult: from raw recordings to a report. The flow stands in rules/, one file a stage; their functions in rules/common.smk.
#
#   snakemake --cores all results/pneumonia/train2356

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/ingest.smk"
include: "rules/clips.smk"
include: "rules/features.smk"
include: "rules/split.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


if workflow.enable_cache:
    share_in_cache("cut_clips", "make_spectrograms")


read_what_is_asked_for()


rule all:
    default_target: True
    input:
        results_of_tracked_data,
