"""`costweir completion`: the script that teaches a shell to complete commands and flags."""

from __future__ import annotations

import click

from costweir.cli.frame import PROGRAM, Command, flags
from costweir.cli.output import show_record, write


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(costweir completion bash)"
    zsh:   eval "$(costweir completion zsh)"
    fish:  costweir completion fish | source
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(f"there is no completion for {shell}")
    script = kind(click.Command(PROGRAM), {}, PROGRAM, "_COSTWEIR_COMPLETE")
    text = script.source_template % script.source_vars()
    if flags().json:
        show_record("completion", {"shell": shell, "script": text})
    else:
        write(text + "\n")
