"""``lucir``: the commands put together. Nothing heavy is imported before a command runs: help answers at once."""

import sys

import typer

from handlers.cli.commands import backups, bench, classes, demo, drop, machine, predict, relearn, versions
from handlers.cli.errors import expected
from handlers.cli.streams import flush, prepare, say
from lucir_core.runtime.threads import wait_asleep

app = typer.Typer(
    name="lucir",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(machine.lucir)
app.command("up")(machine.up)
app.command("follow")(machine.follow)
app.command("demo")(demo.demo)
app.command("drop")(drop.drop)
app.command("correct")(drop.correct)
app.command("relearn")(relearn.relearn)
app.command("predict")(predict.predict)
app.command("status")(machine.status)
app.command("versions")(versions.versions)
app.command("report")(versions.report)
app.command("rollback")(versions.rollback)
app.command("prune")(versions.prune)
app.command("export")(backups.export)
app.command("backup")(backups.backup)
app.command("restore")(backups.restore)
app.command("doctor")(machine.doctor)
app.add_typer(classes.class_app, name="class")
app.add_typer(classes.image_app, name="image")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run a command. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    wait_asleep()
    prepare()
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        known = expected(error)
        if known is None:
            raise
        message, status_code = known
        say(message)
        sys.exit(status_code)


def run() -> None:
    """The command, until what it wrote is out: a full disk or a closed pipe is met while it can be said."""
    try:
        app()
    finally:
        flush()


if __name__ == "__main__":
    main()
