"""The command line. One module per subcommand, each with `add_parser(subparsers)` and `run(args) -> int`.

main               entry point: all subcommands in one parser
entry              exit codes and one-line errors of every entry point
parser             argparse with suggestions for misspelled names
logs               log records as text or JSON
signals            SIGTERM and SIGHUP as exceptions; reload: SIGHUP as a request to read the configuration again
completion         completion script for a shell
run_arguments      configuration file, sources and settings of run, demo and check-config
config_checks      checks of a configuration against this machine
extras             missing optional packages as one line; faults explains other exceptions of libraries
terminal           progress bars, status line, tables
window/            windows of `run --show`, in which a click is a prompt
eval_protocols     registry of the protocols of `eval`; eval_reports and eval_sequence_reports measure and lay out each
modes              streamseg's own behaviour or FastSAM's, chosen by name
segment_job        one run of `segment`, from its flags; fastsam_flags from the flags of the official FastSAM program
short_lists        coordinates as 520,360
outputs            files written by `segment`: overlays, and data_set_output; output_options selects them
recording          MP4 recording of a run
named_weights      download of official weights named on the command line
data_problems      unusable images and annotations: named, skipped and counted, or refused; training_data opens a recipe
training_settings  settings of `train`, from recipe and command line; training_curves plots its logs
weights_average    the action `average` of `weights`
provenance         machine and versions behind a measurement
"""
