"""ROS 2 messages from published messages; no ROS installation is required.

messages     plain dictionaries with the fields of each ROS message
definitions  definitions of the message types that are not part of ROS's base
cdr          serialisation to CDR, by rosbags
"""
