"""Backend for Label Studio: its clicks and rectangles become prompts, the objects they select become its regions.

brush       masks in the run-length encoding of Label Studio's brush
labels      the labels and tags of a labelling configuration
regions     clicks and rectangles to prompts, objects to regions
images      the images of tasks: below one folder, or from one Label Studio
server      the HTTP interface that Label Studio expects of a backend
serving     an application over HTTP until the process ends
"""
