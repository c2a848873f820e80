import { command, ExitError, exactArgs } from "../command.ts";
import { completionScript, SHELLS } from "../completion/scripts.ts";

export const completion = command({
  use: "bash|zsh|fish",
  short: "Generate the autocompletion script for the specified shell",
  long: `Generate the autocompletion script for the specified shell

  source <(dhow completion bash)                        in this shell
  dhow completion bash >/etc/bash_completion.d/dhow     in every bash
  dhow completion zsh >"\${fpath[1]}/_dhow"              in every zsh
  dhow completion fish >~/.config/fish/completions/dhow.fish`,
  args: exactArgs(1),
  flags: {},
  run: async (ctx, [name = ""]) => {
    const shell = SHELLS.find((known) => known === name);
    if (shell === undefined) throw new ExitError(1, `unknown shell ${JSON.stringify(name)}: must be one of ${SHELLS.join(", ")}`);
    ctx.stdout.write(completionScript(shell, ctx.name));
  },
});
