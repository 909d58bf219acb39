"""ROS 2 messages from published messages; no ROS installation is required.

messages         plain dictionaries with the fields of each ROS message
topics           topics of a source
definitions      definitions of the message types that are not part of ROS's base
cdr              serialisation to CDR, by rosbags
annotations_cdr  the same for outlines, from arrays
mcap_writer      MCAP files with all topics
"""
