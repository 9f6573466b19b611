"""The user of a conversation: scripted in the row, simulated by a model server, or by rules of your own."""

from nemo_gym.environments.users.scripted_user import ScriptedTurn, ScriptedUser, UserTurn
from nemo_gym.environments.users.simulated_user import SimulatedUser, SimulatedUserConfig, UserProfile
from nemo_gym.environments.users.user import User, UserReply, heard_by_user

__all__ = [
    "ScriptedTurn",
    "ScriptedUser",
    "SimulatedUser",
    "SimulatedUserConfig",
    "User",
    "UserProfile",
    "UserReply",
    "UserTurn",
    "heard_by_user",
]
