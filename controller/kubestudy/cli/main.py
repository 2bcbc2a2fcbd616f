"""``kubestudy`` and ``kubectl study``: finds the command, and imports no other."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys

import click

from kubestudy import __version__
from kubestudy.cli.errors import CommandError
from kubestudy.cli.program import program_name
from kubestudy.cli.terminal import write

# Section by section: the command, its module, and what it does in a few words. The help page is
# made from this table, so that showing it imports no command.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Try a Study": {
        "validate": ("validate", "Say what is wrong with a manifest, without a cluster."),
        "run": ("run", "Run a Study on this machine, with processes in place of pods."),
    },
    "See how it goes": {
        "get": ("get", "List Studies, or show one."),
        "watch": ("watch", "Follow a Study live."),
        "top": ("top", "List the trials of a Study, the best first."),
        "best": ("best", "Show the best trial and its parameters."),
        "describe": ("describe", "Tell everything about a Study or a trial."),
        "logs": ("logs", "Print what trials have printed."),
        "dashboard": ("dashboard", "Show Studies in a browser."),
        "export": ("export", "Write all trials as CSV or JSON lines."),
    },
    "Change it": {
        "suspend": ("suspend", "Stop all runs, and start none for now."),
        "resume": ("suspend", "Let a suspended Study go on."),
        "delete": ("delete", "Delete a Study and everything of it."),
    },
    "Serve": {
        "controller": ("controller", "Run the controller (in the cluster)."),
    },
}

EXIT_CODES = (
    ("0", "done; for run and watch: the Study completed"),
    ("1", "the Study failed, or the command did"),
    ("2", "wrong usage, or an invalid manifest"),
    ("3", "there is no such Study or trial; for best: no best trial (yet)"),
    ("130", "interrupted by Ctrl-C"),
)


class Program(click.Group):
    """The commands, imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help page."""
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command."""
        for section in SECTIONS.values():
            if cmd_name in section:
                module = importlib.import_module(f"kubestudy.cli.{section[cmd_name][0]}")
                found: click.Command = getattr(module, cmd_name)
                return found
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that was typed, or names the one that was probably meant."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], known, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(known)}."
            ctx.fail(f"No such command '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, then the exit codes."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in section.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl(EXIT_CODES)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.version_option(__version__, prog_name="kubestudy", message="%(prog)s %(version)s")
def cli() -> None:
    """Tune the hyperparameters of a model, in a Kubernetes cluster or on this machine.

    \b
      kubestudy validate mrpc.yaml     is it right?
      kubestudy run mrpc.yaml          on this machine: results in results/mrpc
      kubectl apply -f mrpc.yaml       in the cluster: the very same file
      kubestudy watch mrpc
      kubestudy best mrpc -o args      to paste after your training command

    A Study named to a command is looked for in the folder results/ here first, then in the
    cluster of the current context. --results DIR, or any of -n, --context and --kubeconfig,
    says which; `kubectl study` looks in the cluster unless --results is given.
    """  # noqa: D301


def main() -> None:
    """The entry point of both programs."""
    try:
        sys.exit(cli.main(prog_name=program_name(), standalone_mode=False) or 0)
    except click.ClickException as error:
        if isinstance(error, CommandError):
            error.show()
        else:  # It quotes what was typed, or what a file is called.
            page = io.StringIO()
            error.show(page)
            write(page.getvalue().rstrip("\n"), err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        sys.exit(130)
    except BrokenPipeError:  # As in `kubestudy top mrpc | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # A folder that cannot be written, a disk that is full.
        if error.filename is None:
            raise
        CommandError(f"{error.filename}: {error.strerror}").show()
        sys.exit(1)


if __name__ == "__main__":
    main()
