import type { Command } from "./command.ts";

type Load = () => Promise<Command>;

/** A group of commands: `dhow container …`. */
export interface Group {
  readonly short: string;
  /** Docker has no such group: left out of `docker --help`. */
  readonly isOwn?: boolean;
  readonly commands: Readonly<Record<string, Load>>;
}

const attach: Load = async () => (await import("./commands/container/attach.ts")).attach;
const checkpointCreate: Load = async () => (await import("./commands/checkpoint/create.ts")).checkpointCreate;
const checkpointLs: Load = async () => (await import("./commands/checkpoint/ls.ts")).checkpointLs;
const checkpointRm: Load = async () => (await import("./commands/checkpoint/rm.ts")).checkpointRm;
const commit: Load = async () => (await import("./commands/container/commit.ts")).commit;
const cp: Load = async () => (await import("./commands/container/cp.ts")).cp;
const create: Load = async () => (await import("./commands/container/create.ts")).create;
const diff: Load = async () => (await import("./commands/container/diff.ts")).diff;
const exec: Load = async () => (await import("./commands/container/exec.ts")).exec;
const containerExport: Load = async () => (await import("./commands/container/export.ts")).containerExport;
const containerInspect: Load = async () => (await import("./commands/container/inspect.ts")).containerInspect;
const kill: Load = async () => (await import("./commands/container/kill.ts")).kill;
const login: Load = async () => (await import("./commands/registry/login.ts")).login;
const logout: Load = async () => (await import("./commands/registry/logout.ts")).logout;
const logs: Load = async () => (await import("./commands/container/logs.ts")).logs;
const ps: Load = async () => (await import("./commands/container/ls.ts")).containerLs;
const pause: Load = async () => (await import("./commands/container/pause.ts")).pause;
const port: Load = async () => (await import("./commands/container/port.ts")).port;
const containerPrune: Load = async () => (await import("./commands/container/prune.ts")).containerPrune;
const rename: Load = async () => (await import("./commands/container/rename.ts")).rename;
const restart: Load = async () => (await import("./commands/container/stop.ts")).restart;
const rm: Load = async () => (await import("./commands/container/rm.ts")).rm;
const run: Load = async () => (await import("./commands/container/run.ts")).run;
const start: Load = async () => (await import("./commands/container/start.ts")).start;
const stats: Load = async () => (await import("./commands/container/stats.ts")).stats;
const stop: Load = async () => (await import("./commands/container/stop.ts")).stop;
const top: Load = async () => (await import("./commands/container/top.ts")).top;
const unpause: Load = async () => (await import("./commands/container/pause.ts")).unpause;
const update: Load = async () => (await import("./commands/container/update.ts")).update;
const wait: Load = async () => (await import("./commands/container/wait.ts")).wait;
const bootstrap: Load = async () => (await import("./commands/image/bootstrap.ts")).bootstrap;
const imageGc: Load = async () => (await import("./commands/image/gc.ts")).imageGc;
const imagePin: Load = async () => (await import("./commands/image/pin.ts")).imagePin;
const imageUnpin: Load = async () => (await import("./commands/image/pin.ts")).imageUnpin;
const imageWhyKept: Load = async () => (await import("./commands/image/why-kept.ts")).imageWhyKept;
const history: Load = async () => (await import("./commands/image/history.ts")).history;
const imageImport: Load = async () => (await import("./commands/image/import.ts")).imageImport;
const imageInspect: Load = async () => (await import("./commands/image/inspect.ts")).imageInspect;
const load: Load = async () => (await import("./commands/image/load.ts")).load;
const images: Load = async () => (await import("./commands/image/ls.ts")).imageLs;
const imagePrune: Load = async () => (await import("./commands/image/prune.ts")).imagePrune;
const pull: Load = async () => (await import("./commands/image/pull.ts")).pull;
const rmi: Load = async () => (await import("./commands/image/rm.ts")).imageRm;
const save: Load = async () => (await import("./commands/image/save.ts")).save;
const tag: Load = async () => (await import("./commands/image/tag.ts")).tag;
const contextCreate: Load = async () => (await import("./commands/context/create.ts")).contextCreate;
const contextExport: Load = async () => (await import("./commands/context/export.ts")).contextExport;
const contextImport: Load = async () => (await import("./commands/context/import.ts")).contextImport;
const contextInspect: Load = async () => (await import("./commands/context/inspect.ts")).contextInspect;
const contextLs: Load = async () => (await import("./commands/context/ls.ts")).contextLs;
const contextRm: Load = async () => (await import("./commands/context/rm.ts")).contextRm;
const contextShow: Load = async () => (await import("./commands/context/show.ts")).contextShow;
const contextUpdate: Load = async () => (await import("./commands/context/update.ts")).contextUpdate;
const contextUse: Load = async () => (await import("./commands/context/use.ts")).contextUse;
const leaseCreate: Load = async () => (await import("./commands/lease/create.ts")).leaseCreate;
const leaseInspect: Load = async () => (await import("./commands/lease/inspect.ts")).leaseInspect;
const leaseLs: Load = async () => (await import("./commands/lease/ls.ts")).leaseLs;
const leaseRenew: Load = async () => (await import("./commands/lease/renew.ts")).leaseRenew;
const leaseRm: Load = async () => (await import("./commands/lease/rm.ts")).leaseRm;
const leaseRun: Load = async () => (await import("./commands/lease/run.ts")).leaseRun;
const socketAudit: Load = async () => (await import("./commands/socket/audit.ts")).socketAudit;
const socketCreate: Load = async () => (await import("./commands/socket/create.ts")).socketCreate;
const socketInspect: Load = async () => (await import("./commands/socket/inspect.ts")).socketInspect;
const socketLs: Load = async () => (await import("./commands/socket/ls.ts")).socketLs;
const socketRm: Load = async () => (await import("./commands/socket/rm.ts")).socketRm;
const completion: Load = async () => (await import("./commands/completion.ts")).completion;
const completeWords: Load = async () => (await import("./commands/complete.ts")).completeWords;
const egress: Load = async () => (await import("./commands/container/egress.ts")).egress;
const why: Load = async () => (await import("./commands/container/why.ts")).why;
const networkConnect: Load = async () => (await import("./commands/network/connect.ts")).networkConnect;
const networkCreate: Load = async () => (await import("./commands/network/create.ts")).networkCreate;
const networkDisconnect: Load = async () => (await import("./commands/network/connect.ts")).networkDisconnect;
const networkInspect: Load = async () => (await import("./commands/network/inspect.ts")).networkInspect;
const networkLs: Load = async () => (await import("./commands/network/ls.ts")).networkLs;
const networkPrune: Load = async () => (await import("./commands/network/prune.ts")).networkPrune;
const networkRm: Load = async () => (await import("./commands/network/rm.ts")).networkRm;
const volumeClone: Load = async () => (await import("./commands/volume/clone.ts")).volumeClone;
const volumeExport: Load = async () => (await import("./commands/volume/export.ts")).volumeExport;
const volumeImport: Load = async () => (await import("./commands/volume/import.ts")).volumeImport;
const volumeRename: Load = async () => (await import("./commands/volume/rename.ts")).volumeRename;
const volumeResize: Load = async () => (await import("./commands/volume/resize.ts")).volumeResize;
const volumeSnapshot: Load = async () => (await import("./commands/volume/snapshot.ts")).volumeSnapshot;
const volumeCreate: Load = async () => (await import("./commands/volume/create.ts")).volumeCreate;
const volumeInspect: Load = async () => (await import("./commands/volume/inspect.ts")).volumeInspect;
const volumeLs: Load = async () => (await import("./commands/volume/ls.ts")).volumeLs;
const volumePrune: Load = async () => (await import("./commands/volume/prune.ts")).volumePrune;
const volumeRm: Load = async () => (await import("./commands/volume/rm.ts")).volumeRm;
const systemCheck: Load = async () => (await import("./commands/system/check.ts")).systemCheck;
const df: Load = async () => (await import("./commands/system/df.ts")).df;
const dialStdio: Load = async () => (await import("./commands/system/dial-stdio.ts")).dialStdio;
const events: Load = async () => (await import("./commands/system/events.ts")).events;
const info: Load = async () => (await import("./commands/system/info.ts")).info;
const inspect: Load = async () => (await import("./commands/system/inspect.ts")).inspect;
const systemPrune: Load = async () => (await import("./commands/system/prune.ts")).systemPrune;
const version: Load = async () => (await import("./commands/system/version.ts")).version;

/** `dhow <group> <command>` */
export const GROUPS: Readonly<Record<string, Group>> = {
  checkpoint: { short: "Manage checkpoints", commands: { create: checkpointCreate, ls: checkpointLs, rm: checkpointRm } },
  container: {
    short: "Manage containers",
    commands: {
      attach,
      commit,
      cp,
      create,
      diff,
      egress,
      exec,
      export: containerExport,
      inspect: containerInspect,
      kill,
      logs,
      ls: ps,
      pause,
      port,
      prune: containerPrune,
      rename,
      restart,
      rm,
      run,
      start,
      stats,
      stop,
      top,
      unpause,
      update,
      wait,
      why,
    },
  },
  context: {
    short: "Manage contexts",
    commands: {
      create: contextCreate,
      export: contextExport,
      import: contextImport,
      inspect: contextInspect,
      ls: contextLs,
      rm: contextRm,
      show: contextShow,
      update: contextUpdate,
      use: contextUse,
    },
  },
  image: {
    short: "Manage images",
    commands: {
      bootstrap,
      gc: imageGc,
      history,
      import: imageImport,
      inspect: imageInspect,
      load,
      ls: images,
      pin: imagePin,
      prune: imagePrune,
      pull,
      rm: rmi,
      save,
      tag,
      unpin: imageUnpin,
      "why-kept": imageWhyKept,
    },
  },
  lease: {
    short: "Manage leases: objects that go with their owner",
    isOwn: true,
    commands: { create: leaseCreate, inspect: leaseInspect, ls: leaseLs, renew: leaseRenew, rm: leaseRm, run: leaseRun },
  },
  network: {
    short: "Manage networks",
    commands: {
      connect: networkConnect,
      create: networkCreate,
      disconnect: networkDisconnect,
      inspect: networkInspect,
      ls: networkLs,
      prune: networkPrune,
      rm: networkRm,
    },
  },
  socket: {
    short: "Manage scoped sockets: ways in that see and may do only some things",
    isOwn: true,
    commands: { audit: socketAudit, create: socketCreate, inspect: socketInspect, ls: socketLs, rm: socketRm },
  },
  system: { short: "Manage Docker", commands: { check: systemCheck, df, "dial-stdio": dialStdio, events, info, prune: systemPrune } },
  volume: {
    short: "Manage volumes",
    commands: {
      clone: volumeClone,
      create: volumeCreate,
      export: volumeExport,
      import: volumeImport,
      inspect: volumeInspect,
      ls: volumeLs,
      prune: volumePrune,
      rename: volumeRename,
      resize: volumeResize,
      rm: volumeRm,
      snapshot: volumeSnapshot,
    },
  },
};

/** Other names of commands in groups. */
export const GROUP_ALIASES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  checkpoint: { list: "ls", remove: "rm" },
  container: { list: "ls", ps: "ls", remove: "rm" },
  context: { list: "ls", remove: "rm" },
  image: { list: "ls", remove: "rm" },
  lease: { list: "ls", remove: "rm" },
  network: { list: "ls", remove: "rm" },
  socket: { list: "ls", remove: "rm" },
  system: {},
  volume: { list: "ls", remove: "rm" },
};

/** Commands of dhow's own below commands of docker's, which `docker` itself does not have: `dhow port audit`. */
export const SUBCOMMANDS: Readonly<Record<string, Load>> = {
  "port audit": async () => (await import("./commands/port/audit.ts")).portAudit,
};

/** `dhow <command>` */
export const COMMANDS: Readonly<Record<string, Load>> = {
  __complete: completeWords,
  attach,
  commit,
  cp,
  completion,
  create,
  diff,
  egress,
  events,
  exec,
  export: containerExport,
  history,
  images,
  import: imageImport,
  info,
  inspect,
  kill,
  load,
  login,
  logout,
  logs,
  pause,
  port,
  ps,
  pull,
  rename,
  restart,
  rm,
  rmi,
  run,
  save,
  start,
  stats,
  stop,
  tag,
  top,
  unpause,
  update,
  version,
  wait,
  why,
};

/** What the overview shows first. */
export const COMMON_COMMANDS: readonly string[] = ["run", "exec", "ps", "pull", "images", "login", "logout", "version", "info"];
