"""The command `sqlalchemy-pool-exporter`: its arguments, and one clear line when it cannot start.

It must not know how anything is done: each subcommand hands over to the part that does it.
"""

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

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
from sqlalchemy_pool_exporter.web.app import create_app

logger = logging.getLogger(__name__)

# SIGTERM to gone, whatever hangs: Kubernetes and people are waiting.
EXIT_SECONDS: Final = 1.8
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit status: 0, 1 for what cannot be done, 2 for bad usage."""
    options = build_parser().parse_args(arguments)
    configure_logging("info", "text")
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


class CommandParser(argparse.ArgumentParser):
    """A parser that knows what is meant by a file where a command belongs."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2, the usage and the message."""
        if message.startswith("argument COMMAND:"):
            message += "; a configuration file is given as --config FILE"
        super().error(message)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; the options of `serve` stand with and without its name."""
    parser = CommandParser(
        prog=DISTRIBUTION,
        description="Prometheus exporter that shows what SQLAlchemy's connection pools are doing.",
        epilog="Without a command it serves. Environment: POOL_EXPORTER_, nesting by __, as in "
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
    """Adds the subcommands, each with the function that runs it."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser(
        "serve",
        help="probe and serve (the default)",
        parents=[build_serve_options()],
        allow_abbrev=False,
    )
    check = commands.add_parser(
        "check-config",
        help="say everything that is wrong with a file",
        description="Says everything that is wrong with a configuration, a line for each mistake. "
        "Reads the files that hold secrets, connects to nothing.",
        epilog="The environment counts, too: POOL_EXPORTER_ variables are checked with the file "
        "and win over it, as when serving. Exit status: 0 when the configuration is valid, else 1.",
        allow_abbrev=False,
    )
    check.add_argument("file", type=Path, metavar="FILE", help="YAML file")
    check.add_argument(
        "--syntax-only",
        action="store_true",
        help="read no secrets and certificates: for where they are not at hand",
    )
    add_web_config_file(check)
    check.set_defaults(run=run_check_config)
    demo = commands.add_parser("demo", help="show it at work, with databases of its own")
    demo.add_argument("--listen", type=check_address, metavar="ADDRESS", default=argparse.SUPPRESS)
    demo.set_defaults(run=run_demo)


def build_serve_options() -> argparse.ArgumentParser:
    """Returns the options as a parent for one parser.

    Without defaults, or the subcommand's would replace what was given before its name.
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
        help="allow POST requests that change something: to reload, to recreate a pool",
    )
    options.add_argument(
        "--wait-for-config",
        action="store_true",
        help="do not end because the configuration cannot be used: log what is wrong, serve "
        "without it, and go on reading until it can",
    )
    add_web_config_file(options)
    return options


def add_web_config_file(options: argparse.ArgumentParser) -> None:
    """Adds the option that exporters of Prometheus have in common."""
    options.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="YAML file in the format of Prometheus' exporter-toolkit: TLS, users, headers",
    )


def check_address(text: str) -> str:
    """Returns the text of an address. Raises ArgumentTypeError for anything else."""
    try:
        return str(parse_address(text))
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run_check_config(options: argparse.Namespace) -> int:
    """Says everything that is wrong with a file."""
    return check_config(options.file, build_environment(options), syntax_only=options.syntax_only)


def run_demo(options: argparse.Namespace) -> int:
    """Shows the exporter at work; its parts are imported only here, production needs none."""
    from sqlalchemy_pool_exporter import demo

    return demo.main(options.listen)


def run_serve(options: argparse.Namespace) -> int:
    """Serves until told to stop."""
    environment = build_environment(options)
    source = ConfigSource(options.config, environment)
    watcher = FileWatcher()
    watcher.add(source.list_files())  # before they are read: a change from now on is noticed
    try:
        settings = (
            load_bootstrap(options.config, environment)
            if options.wait_for_config
            else source.load()
        )
        configure_logging(settings.log.level, settings.log.format)
        listener = open_listener(parse_address(settings.listen))
        app = create_app(settings, source, watcher, wait_for_config=options.wait_for_config)
    except (SettingsErrors, AddressError, EnginesError) as error:
        return complain(str(error))
    log_start(str(read_address(listener)), None if options.wait_for_config else settings)
    serve(app, listener, exit_within=EXIT_SECONDS)
    return 0


def log_start(address: str, settings: Settings | None) -> None:
    """Says what runs where, and what it looks at if that is known."""
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
    environment: Mapping[str, str]

    def load(self) -> Settings:
        """Return the settings. Raises SettingsErrors."""
        return load_checked_settings(self.config, self.environment)

    def load_without_databases(self) -> Settings:
        """Return the settings without databases. Raises SettingsErrors."""
        return load_without_databases(self.config, self.environment)

    def list_files(self) -> list[Path]:
        """Return the files that the settings are read from."""
        return list_files(self.config, self.environment)


def build_environment(options: argparse.Namespace) -> Mapping[str, str]:
    """Returns the environment with the options in it: what is nearest to the caller wins."""
    environment = dict(os.environ)
    if options.listen is not None:
        environment["POOL_EXPORTER_LISTEN"] = options.listen
    if options.enable_lifecycle:
        environment["POOL_EXPORTER_WEB__ENABLE_LIFECYCLE"] = "true"
    if options.web_config_file is not None:
        environment["POOL_EXPORTER_WEB__CONFIG_FILE"] = options.web_config_file
    return environment


def complain(text: str) -> int:
    """Logs each line of what is wrong; returns the exit status."""
    for line in text.splitlines():
        logger.error(line)
    return 1
