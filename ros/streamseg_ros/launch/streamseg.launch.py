"""ros2 launch streamseg_ros streamseg.launch.py image:=/camera/image_raw/compressed."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Return the node with one image topic."""
    parameters = PathJoinSubstitution([FindPackageShare("streamseg_ros"), "config", "node.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument("image", default_value="/camera/image_raw/compressed", description="image topic"),
            DeclareLaunchArgument("node", default_value="streamseg", description="name of the node"),
            DeclareLaunchArgument("parameters", default_value=parameters, description="file with parameters"),
            ExecuteProcess(
                cmd=[
                    "streamseg",
                    "ros",
                    ["ros:", LaunchConfiguration("image")],
                    "--node",
                    LaunchConfiguration("node"),
                    "--ros-args",
                    "--params-file",
                    LaunchConfiguration("parameters"),
                ],
                output="screen",
            ),
        ]
    )
