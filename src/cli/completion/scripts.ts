/** Shells that `completion` has a script for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * Asks `PROGRAM __complete WORDS...` and gets lines of `word<TAB>text`; a last line `:files` asks for names of files, too.
 * bash breaks words at colons and equal signs: they are put together again, and what stands before the last colon is cut off the answers.
 */
function bash(program: string): string {
  return `# ${program} completion for bash: source <(${program} completion bash)
_${program}() {
  local words=() word cur line i joined=0
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $word == [:=]* || $joined == 1 ]] && ((\${#words[@]} > 0)); then
      words[\${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    [[ $word == *[:=] ]] && joined=1 || joined=0
  done
  cur=\${words[\${#words[@]}-1]}
  local prefix=""
  if [[ $cur == *[:=]* ]]; then prefix=\${cur%"\${cur##*[:=]}"}; fi
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o default 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "\${cur#"$prefix"}")
      continue
    fi
    word=\${line%%$'\\t'*}
    [[ $word == *[:=] ]] && compopt -o nospace 2>/dev/null
    COMPREPLY+=("\${word#"$prefix"}")
  done < <("\${COMP_WORDS[0]}" __complete "\${words[@]}" 2>/dev/null)
}
complete -F _${program} ${program}
`;
}

function zsh(program: string): string {
  return `#compdef ${program}
# ${program} completion for zsh: ${program} completion zsh >"\${fpath[1]}/_${program}"
_${program}() {
  local -a found
  local line word text files=0
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; continue; fi
    word=\${line%%$'\\t'*}
    [[ $line == *$'\\t'* ]] && text=\${line#*$'\\t'} || text=""
    found+=("\${word//:/\\\\:}\${text:+:$text}")
  done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  ((\${#found})) && _describe '${program}' found
  ((files)) && _files
}
if [ "$funcstack[1]" = "_${program}" ]; then _${program} "$@"; else compdef _${program} ${program}; fi
`;
}

function fish(program: string): string {
  return `# ${program} completion for fish: ${program} completion fish | source
function __${program}_complete
    set -l words (commandline -opc)[2..-1] (commandline -ct)
    set -l found (${program} __complete $words 2>/dev/null)
    for line in $found
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c ${program} -f -a '(__${program}_complete)'
`;
}

/** The script that teaches a shell the words of `program`. */
export function completionScript(shell: Shell, program: string): string {
  switch (shell) {
    case "bash":
      return bash(program);
    case "zsh":
      return zsh(program);
    case "fish":
      return fish(program);
    default: {
      const never: never = shell;
      return never;
    }
  }
}
