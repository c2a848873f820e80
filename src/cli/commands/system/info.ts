import { bytesSize, template, VERSION, withHidden } from "../../../lib/mod.ts";
import type { SystemInfo } from "../../../spec/engine/mod.ts";
import { command, ExitError, NO_ARGS } from "../../command.ts";
import type { Context } from "../../context.ts";
import { contextName } from "../../contexts/endpoint.ts";
import { errorText } from "../../error-text.ts";
import { withTypedNulls } from "../../format/typed-nulls.ts";
import { INSPECT_FORMAT } from "../../inspect.ts";

type Value = string | number | boolean | null | undefined;

class Page {
  readonly lines: string[] = [];

  /** A line that is there whatever its value. */
  always(name: string, value: Value): void {
    this.lines.push(` ${name}: ${value ?? ""}`);
  }

  /** A line that an empty value leaves out. */
  maybe(name: string, value: Value): void {
    if (value !== undefined && value !== null && value !== "") this.always(name, value);
  }

  list(name: string, values: readonly string[], indent = " "): void {
    if (values.length === 0) return;
    this.lines.push(` ${name}:`, ...values.map((value) => `${indent} ${value}`));
  }
}

function storage(page: Page, info: SystemInfo): void {
  page.always("Containers", info.Containers);
  page.lines.push(`  Running: ${info.ContainersRunning}`, `  Paused: ${info.ContainersPaused}`, `  Stopped: ${info.ContainersStopped}`);
  page.always("Images", info.Images);
  page.maybe("Server Version", info.ServerVersion);
  page.maybe("Storage Driver", info.Driver);
  for (const status of info.DriverStatus ?? []) {
    const [name = "", value = ""] = status ?? [];
    page.lines.push(`  ${name}: ${value}`);
  }
  page.maybe("Logging Driver", info.LoggingDriver);
  page.maybe("Cgroup Driver", info.CgroupDriver);
  page.maybe("Cgroup Version", info.CgroupVersion);
}

function plugins(page: Page, { Plugins }: SystemInfo): void {
  page.lines.push(" Plugins:");
  page.lines.push(`  Volume: ${(Plugins?.Volume ?? []).join(" ")}`, `  Network: ${(Plugins?.Network ?? []).join(" ")}`);
  if (Plugins?.Authorization && Plugins.Authorization.length > 0) page.lines.push(`  Authorization: ${Plugins.Authorization.join(" ")}`);
  page.lines.push(`  Log: ${(Plugins?.Log ?? []).join(" ")}`);
}

function devices(page: Page, { CDISpecDirs, DiscoveredDevices }: SystemInfo): void {
  const directories = CDISpecDirs ?? [];
  if (directories.length > 0) page.lines.push(" CDI spec directories:", ...directories.map((directory) => `  ${directory}`));
  const found = DiscoveredDevices ?? [];
  if (found.length > 0) page.lines.push(" Discovered Devices:", ...found.map(({ Source, ID }) => `  ${Source}: ${ID}`));
}

function security(page: Page, { SecurityOptions }: SystemInfo): void {
  const options = SecurityOptions ?? [];
  if (options.length === 0) return;
  page.lines.push(" Security Options:");
  for (const option of options) {
    const [name, ...rest] = option.split(",").map((part) => part.slice(part.indexOf("=") + 1));
    page.lines.push(`  ${name}`);
    if (rest[0] !== undefined) page.lines.push(`   Profile: ${rest[0]}`);
  }
}

function runtimes(page: Page, info: SystemInfo): void {
  page.always("Swarm", info.Swarm?.LocalNodeState ?? "inactive");
  const names = Object.keys(info.Runtimes ?? {});
  if (names.length > 0) {
    page.always("Runtimes", names.sort().join(" "));
    page.always("Default Runtime", info.DefaultRuntime);
  }
  page.always("Init Binary", info.InitBinary);
  page.always("containerd version", info.ContainerdCommit?.ID);
  page.always("runc version", info.RuncCommit?.ID);
  page.always("init version", info.InitCommit?.ID);
}

function host(page: Page, info: SystemInfo): void {
  page.maybe("Kernel Version", info.KernelVersion);
  page.maybe("Operating System", info.OperatingSystem);
  page.maybe("OSType", info.OSType);
  page.maybe("Architecture", info.Architecture);
  page.always("CPUs", info.NCPU);
  page.always("Total Memory", bytesSize(info.MemTotal ?? 0));
  page.maybe("Name", info.Name);
  page.maybe("ID", info.ID);
  page.always("Docker Root Dir", info.DockerRootDir);
  page.always("Debug Mode", info.Debug ?? false);
  if (info.Debug) {
    page.lines.push(`  File Descriptors: ${info.NFd}`, `  Goroutines: ${info.NGoroutines}`);
    page.lines.push(`  System Time: ${info.SystemTime}`, `  EventsListeners: ${info.NEventsListener}`);
  }
  page.maybe("HTTP Proxy", info.HttpProxy);
  page.maybe("HTTPS Proxy", info.HttpsProxy);
  page.maybe("No Proxy", info.NoProxy);
  page.list("Labels", info.Labels ?? []);
  page.always("Experimental", info.ExperimentalBuild ?? false);
  page.list("Insecure Registries", insecure(info), " ");
  page.list("Registry Mirrors", info.RegistryConfig?.Mirrors ?? [], " ");
  page.always("Live Restore Enabled", info.LiveRestoreEnabled ?? false);
  page.maybe("Product License", info.ProductLicense);
  if (info.DefaultAddressPools && info.DefaultAddressPools.length > 0) {
    page.lines.push(" Default Address Pools:");
    for (const { Base, Size } of info.DefaultAddressPools) page.lines.push(`   Base: ${Base}, Size: ${Size}`);
  }
}

function insecure({ RegistryConfig }: SystemInfo): readonly string[] {
  const hosts = Object.values(RegistryConfig?.IndexConfigs ?? {})
    .filter((config) => config !== null && config.Secure === false)
    .map((config) => config?.Name ?? "");
  return [...hosts, ...(RegistryConfig?.InsecureRegistryCIDRs ?? [])].map((name) => ` ${name}`.trimStart());
}

function clientText(ctx: Context): string {
  return `Client:\n Version:    ${VERSION}\n Context:    ${contextName(ctx.endpointSource)}\n Debug Mode: ${ctx.isDebug}\n`;
}

function serverText(info: SystemInfo): string {
  const page = new Page();
  storage(page, info);
  plugins(page, info);
  devices(page, info);
  runtimes(page, info);
  security(page, info);
  host(page, info);
  return `\nServer:\n${page.lines.join("\n")}\n`;
}

/** What templates see: under the names of Docker's type, too. */
function templateValue(server: SystemInfo, ClientInfo: object): object {
  const hidden = {
    HTTPProxy: server.HttpProxy,
    HTTPSProxy: server.HttpsProxy,
    CPUCfsPeriod: server.CpuCfsPeriod,
    CPUCfsQuota: server.CpuCfsQuota,
  };
  return withHidden(withTypedNulls({ ...server, ClientInfo }) as object, hidden);
}

export const info = command({
  use: "[OPTIONS]",
  short: "Display system-wide information",
  aliases: ["system info", "info"],
  args: NO_ARGS,
  flags: { format: INSPECT_FORMAT },
  run: async (ctx, _args, flags) => {
    const format = flags.format === "json" ? "{{json .}}" : flags.format;
    let compiled: ReturnType<typeof template> | undefined;
    try {
      compiled = format === "" ? undefined : template(format, { isMissingKeyError: true });
    } catch (error) {
      throw new ExitError(64, `template parsing error: ${(error as Error).message}`);
    }
    if (compiled === undefined) ctx.stdout.write(clientText(ctx));
    let server: SystemInfo;
    try {
      server = await ctx.api.system.info();
    } catch (error) {
      if (compiled !== undefined) throw error;
      ctx.stdout.write("\nServer:\n");
      throw new ExitError(1, `${errorText(error)}\nerrors pretty printing info`);
    }
    const client = { Debug: ctx.isDebug, Version: VERSION, Context: contextName(ctx.endpointSource), Plugins: [], Warnings: null };
    if (compiled === undefined) ctx.stdout.write(serverText(server));
    else ctx.out(compiled(format === "{{json .}}" ? { ...server, ClientInfo: client } : templateValue(server, client)));
    if (compiled === undefined && (server.Warnings ?? []).length > 0) ctx.warn(`\n${(server.Warnings ?? []).join("\n")}`);
  },
});
