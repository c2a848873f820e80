import { BOOLEAN, LIST, STRING } from "./flag-kinds.ts";

/** The flags before the command. */
export const GLOBAL_FLAGS = {
  config: { kind: STRING, help: "Location of client config files" },
  context: {
    kind: STRING,
    short: "c",
    help: 'Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with "docker context use")',
  },
  debug: { kind: BOOLEAN, short: "D", help: "Enable debug mode" },
  host: { kind: LIST, short: "H", help: "Daemon socket to connect to" },
  "log-level": { kind: STRING, short: "l", help: 'Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")' },
  tls: { kind: BOOLEAN, help: "Use TLS; implied by --tlsverify" },
  tlscacert: { kind: STRING, help: "Trust certs signed only by this CA" },
  tlscert: { kind: STRING, help: "Path to TLS certificate file" },
  tlskey: { kind: STRING, help: "Path to TLS key file" },
  tlsverify: { kind: BOOLEAN, help: "Use TLS and verify the remote" },
  version: { kind: BOOLEAN, short: "v", help: "Print version information and quit" },
} as const;
