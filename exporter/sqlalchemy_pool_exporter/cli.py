"""The command `sqlalchemy-pool-exporter`: its options, and one clear line if it cannot start."""

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from sqlalchemy_pool_exporter import DISTRIBUTION, read_version
from sqlalchemy_pool_exporter.check import check_config, load_checked_settings
from sqlalchemy_pool_exporter.databases import EnginesError
from sqlalchemy_pool_exporter.logs import configure_logging
from sqlalchemy_pool_exporter.reload import FileWatcher
from sqlalchemy_pool_exporter.server.listener import open_listener, read_address
from sqlalchemy_pool_exporter.server.server import serve
from sqlalchemy_pool_exporter.settings import (
    Settings,
    SettingsErrors,
    list_files,
    load_bootstrap,
    load_without_databases,
)
from sqlalchemy_pool_exporter.settings.fields import DEFAULT_LISTEN, AddressError, parse_address
from sqlalchemy_pool_exporter.settings.yaml_file import Document, KeyPath
from sqlalchemy_pool_exporter.web.app import create_app

logger = logging.getLogger(__name__)

# From SIGTERM to the end of the process, whatever hangs.
EXIT_SECONDS: Final = 1.8
INTERRUPTED: Final = 130
APPLICATION_PREFIX: Final = "SQLALCHEMY_POOL_METRICS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 for a failure, 2 for wrong usage."""
    options = build_parser().parse_args(arguments)
    configure_logging("info", "text")
    forget_application()
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def forget_application() -> None:
    """Remove the application's variables from the environment.

    A shell or a pod may give them to both. The exporter's own pools would then be recorded as those
    of an application.
    """
    for name in [each for each in os.environ if each.startswith(APPLICATION_PREFIX)]:
        del os.environ[name]


class CommandParser(argparse.ArgumentParser):
    """A parser that explains how to pass a configuration file given in place of a command."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2, the usage and the message."""
        if message.startswith("argument COMMAND:"):
            message += "; a configuration file is given as --config FILE"
        super().error(message)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser, which takes the options of `serve` with and without that name."""
    parser = CommandParser(
        prog=DISTRIBUTION,
        description="Prometheus exporter that shows what SQLAlchemy's connection pools are doing.",
        epilog="Without a command it serves. Environment variables can set every key, for example "
        "POOL_EXPORTER_DATABASES__PRIMARY__URL.",
        parents=[build_serve_options()],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{DISTRIBUTION} {read_version()}")
    parser.set_defaults(run=run_serve, config=None, listen=None, enable_lifecycle=False)
    parser.set_defaults(web_config_file=None, wait_for_config=False)
    add_commands(parser)
    return parser


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands, each with the function that runs it."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser(
        "serve",
        help="probe and serve (the default)",
        parents=[build_serve_options()],
        allow_abbrev=False,
    )
    check = commands.add_parser(
        "check-config",
        help="print every mistake in a configuration",
        description="Print every mistake in a configuration, one per line. This reads the files "
        "that hold secrets and connects to nothing.",
        epilog="The environment counts, too: POOL_EXPORTER_ variables take precedence over the "
        "file, as when serving. Exit status: 0 if the configuration is valid, else 1.",
        allow_abbrev=False,
    )
    check.add_argument("file", type=Path, metavar="FILE", help="YAML file")
    check.add_argument(
        "--syntax-only",
        action="store_true",
        help="do not read secrets and certificates, which may be missing here",
    )
    add_web_config_file(check)
    check.set_defaults(run=run_check_config)
    demo = commands.add_parser("demo", help="show the exporter at work, with its own databases")
    demo.add_argument("--listen", type=check_address, metavar="ADDRESS", default=argparse.SUPPRESS)
    demo.set_defaults(run=run_demo)


def build_serve_options() -> argparse.ArgumentParser:
    """Return the options of `serve`, as a parent for one parser.

    They have no defaults: the subcommand's would replace the options given before its name.
    """
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file (default: none, only the environment)",
    )
    options.add_argument(
        "--listen",
        type=check_address,
        metavar="ADDRESS",
        help=f"host:port to serve on (default: the configuration's, else {DEFAULT_LISTEN})",
    )
    options.add_argument(
        "--web.enable-lifecycle",
        dest="enable_lifecycle",
        action="store_true",
        help="allow the POST requests that reload the configuration and recreate a pool",
    )
    options.add_argument(
        "--wait-for-config",
        action="store_true",
        help="start even if the configuration is invalid: log its mistakes, apply its valid parts, "
        "and read it again until all of it is valid",
    )
    add_web_config_file(options)
    return options


def add_web_config_file(options: argparse.ArgumentParser) -> None:
    """Add the option that Prometheus' exporters have in common."""
    options.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="YAML file in the format of Prometheus' exporter-toolkit: TLS, users, headers",
    )


def check_address(text: str) -> str:
    """Return an address, normalised. Raises ArgumentTypeError."""
    try:
        return str(parse_address(text))
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run_check_config(options: argparse.Namespace) -> int:
    """Print every mistake of a configuration."""
    given = build_option_settings(options)
    return check_config(options.file, options=given, syntax_only=options.syntax_only)


def run_demo(options: argparse.Namespace) -> int:
    """Show the exporter at work. The demo is imported only here: production does not need it."""
    from sqlalchemy_pool_exporter import demo

    return demo.main(options.listen)


def run_serve(options: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    given = build_option_settings(options)
    source = ConfigSource(options.config, given)
    watcher = FileWatcher()
    watcher.add(source.list_files())  # before they are read: a change from now on is noticed
    try:
        if options.wait_for_config:
            settings = load_bootstrap(options.config, options=given)
        else:
            settings = source.load()
        configure_logging(settings.log.level, settings.log.format)
        listener = open_listener(parse_address(settings.listen))
        app = create_app(settings, source, watcher, wait_for_config=options.wait_for_config)
        log_start(str(read_address(listener)), None if options.wait_for_config else settings)
        serve(app, listener, exit_within=EXIT_SECONDS)
    except (SettingsErrors, AddressError, EnginesError) as error:
        return complain(str(error))
    return 0


def log_start(address: str, settings: Settings | None) -> None:
    """Log version and address and, if the settings are loaded, what the exporter reads."""
    extra: dict[str, object] = {"version": read_version(), "address": address}
    if settings is not None:
        extra["databases"] = len(settings.databases)
    if settings is not None and settings.app.dir is not None:
        extra["app_dir"] = str(settings.app.dir)
    logger.info("serving", extra=extra)


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """The configuration that the command was given, read at the start and at every reload."""

    config: Path | None
    options: Document

    def load(self) -> Settings:
        """Return the settings. Raises SettingsErrors."""
        return load_checked_settings(self.config, options=self.options)

    def load_without_databases(self) -> Settings:
        """Return the settings without databases. Raises SettingsErrors."""
        return load_without_databases(self.config, options=self.options)

    def list_files(self) -> list[Path]:
        """Return the files that the settings are read from."""
        return list_files(self.config)


def build_option_settings(options: argparse.Namespace) -> Document:
    """Return the settings given as options, which win over the environment and the file."""
    data: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    if options.listen is not None:
        data["listen"] = options.listen
        origins["listen",] = "--listen"
    if options.enable_lifecycle:
        data["web"] = {"enable_lifecycle": True}
        origins["web", "enable_lifecycle"] = "--web.enable-lifecycle"
    if options.web_config_file:  # charts may pass an empty value
        data["web"] = {**data.get("web", {}), "config_file": options.web_config_file}
        origins["web", "config_file"] = "--web.config.file"
    return Document(data, origins)


def complain(text: str) -> int:
    """Log each line of an error and return the exit status."""
    for line in text.splitlines():
        logger.error(line)
    return 1
