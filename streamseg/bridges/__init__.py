"""Live connections to programs of robotics: the ROS 2 node, Foxglove and rerun.

ros_api      the part of ROS 2 that the node uses, and its implementation by rclpy
ros_images   source of frames that a node receives
ros_node     the node: sources from image topics, results as topics, prompts as services
foxglove     WebSocket server for Foxglove
rerun        log of a run for the rerun viewer

Their libraries are optional and imported when a bridge is opened.
"""
