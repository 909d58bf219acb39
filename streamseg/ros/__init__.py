"""ROS 2 messages from published messages; no ROS installation is required.

messages         plain dictionaries with the fields of each ROS message
id_image         track id of each pixel
topics           topics of a source
definitions      definitions of the message types that are not part of ROS's base
cdr              serialisation to CDR, by rosbags
frame_cdr        the same for the messages of each frame, from arrays
cdr_buffer       its numbers and strings
frame_encoder    all messages of a frame, serialised
mcap_writer      MCAP files with all topics
incoming         received images as arrays
targets          places of prompts' targets in space, from depth
services         services of the node as control operations
"""
