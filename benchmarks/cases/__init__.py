"""The small inputs of public bug reports, run as their README says, and their right answers.

harness    one case: its commands, its checks, its row of the table
videos     files of videos and streams
images     image files
data_sets  labelled folders
settings   configurations and addresses
__main__   all cases of a folder: `scripts/cases FOLDER`
"""
