"""Reads the configuration: file, then secrets directory, then environment; the later ones win."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from exporter.settings.document import Document, read_document
from exporter.settings.environment import find_variables, read_secrets_dir
from exporter.settings.explanation import explain
from exporter.settings.settings import Settings
from exporter.settings.sources import DocumentSource, VariableSource


def load_settings(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a YAML file, if one is given, and of the environment.

    Raises SettingsErrors with every mistake that can be found at once, without secrets, and without
    an exception in its context that holds any.
    """
    # With PYDANTIC_SETTINGS_DEBUG set it would log every value.
    logging.getLogger("pydantic_settings").setLevel(logging.INFO)
    file = DocumentSource(Settings, read_document(config) if config else Document())
    databases = file.list_databases()
    secrets = VariableSource(Settings, read_secrets_dir(environ), databases)
    environment = VariableSource(Settings, find_variables(environ), databases)
    try:
        return Settings(environment, secrets, file)
    except ValidationError as error:
        errors = explain(error, {**file.origins, **secrets.origins, **environment.origins})
    raise errors
