"""What the relay can be told, and by whom. The only reader of the environment.

A setting comes from an argument, else from the environment, else from a TOML file, else from its default.
"""

from server.settings.explanation import SettingDoc, SettingValue, describe_settings, explain_settings, variable_of
from server.settings.fields import Settings, SettingsError
from server.settings.loading import load_settings

__all__ = [
    "SettingDoc",
    "SettingValue",
    "Settings",
    "SettingsError",
    "describe_settings",
    "explain_settings",
    "load_settings",
    "variable_of",
]
