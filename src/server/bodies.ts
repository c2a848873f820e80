import {
  any,
  bool,
  duration,
  empty,
  fileMode,
  type GoType,
  int,
  int64,
  map,
  slice,
  string,
  strings,
  struct,
  uint,
  uint16,
} from "./go-json.ts";

/** Request bodies of the Engine API with the Go types that dockerd decodes them into. @see docker-engine-api-1.56.yaml */

const driver = struct("mount.Driver", { Name: string, Options: map(string) });

const mount = struct("mount.Mount", {
  Type: string,
  Source: string,
  Target: string,
  ReadOnly: bool,
  Consistency: string,
  BindOptions: struct("mount.BindOptions", {
    Propagation: string,
    NonRecursive: bool,
    CreateMountpoint: bool,
    ReadOnlyNonRecursive: bool,
    ReadOnlyForceRecursive: bool,
  }),
  VolumeOptions: struct("mount.VolumeOptions", { NoCopy: bool, Labels: map(string), Subpath: string, DriverConfig: driver }),
  ImageOptions: struct("mount.ImageOptions", { Subpath: string }),
  TmpfsOptions: struct("mount.TmpfsOptions", { SizeBytes: int64, Mode: fileMode, Options: slice(slice(string)) }),
  ClusterOptions: struct("mount.ClusterOptions", {}),
});

const throttle = slice(
  struct("blkiodev.ThrottleDevice", { Path: string, Rate: { kind: "int", go: "uint64", min: 0, max: 2 ** 64 } }),
  true,
);

const resources: Readonly<Record<string, GoType>> = {
  CpuShares: int64,
  Memory: int64,
  NanoCpus: int64,
  CgroupParent: string,
  BlkioWeight: uint16,
  BlkioWeightDevice: slice(struct("blkiodev.WeightDevice", { Path: string, Weight: uint16 }), true),
  BlkioDeviceReadBps: throttle,
  BlkioDeviceWriteBps: throttle,
  BlkioDeviceReadIOps: throttle,
  BlkioDeviceWriteIOps: throttle,
  CpuPeriod: int64,
  CpuQuota: int64,
  CpuRealtimePeriod: int64,
  CpuRealtimeRuntime: int64,
  CpusetCpus: string,
  CpusetMems: string,
  Devices: slice(struct("container.DeviceMapping", { PathOnHost: string, PathInContainer: string, CgroupPermissions: string })),
  DeviceCgroupRules: slice(string),
  DeviceRequests: slice(
    struct("container.DeviceRequest", {
      Driver: string,
      Count: int,
      DeviceIDs: slice(string),
      Capabilities: slice(slice(string)),
      Options: map(string),
    }),
  ),
  KernelMemory: int64,
  KernelMemoryTCP: int64,
  MemoryReservation: int64,
  MemorySwap: int64,
  MemorySwappiness: int64,
  OomKillDisable: bool,
  PidsLimit: int64,
  Ulimits: slice(struct("container.Ulimit", { Name: string, Hard: int64, Soft: int64 }), true),
  CpuCount: int64,
  CpuPercent: int64,
  IOMaximumIOps: { kind: "int", go: "uint64", min: 0, max: 2 ** 64 },
  IOMaximumBandwidth: { kind: "int", go: "uint64", min: 0, max: 2 ** 64 },
};

const restartPolicy = struct("container.RestartPolicy", { Name: string, MaximumRetryCount: int });

/** POST /containers/{id}/update */
export const containerUpdateBody = struct("container.UpdateConfig", { RestartPolicy: restartPolicy }, { Resources: resources });

const hostConfig = struct(
  "container.HostConfig",
  {
    Binds: slice(string),
    ContainerIDFile: string,
    LogConfig: struct("container.LogConfig", { Type: string, Config: map(string) }),
    NetworkMode: string,
    PortBindings: map(slice(struct("network.PortBinding", { HostIp: string, HostPort: string }))),
    RestartPolicy: restartPolicy,
    AutoRemove: bool,
    VolumeDriver: string,
    VolumesFrom: slice(string),
    ConsoleSize: slice(uint),
    Annotations: map(string),
    CapAdd: strings,
    CapDrop: strings,
    CgroupnsMode: string,
    Dns: slice(string),
    DnsOptions: slice(string),
    DnsSearch: slice(string),
    ExtraHosts: slice(string),
    GroupAdd: slice(string),
    IpcMode: string,
    Cgroup: string,
    Links: slice(string),
    OomScoreAdj: int,
    PidMode: string,
    Privileged: bool,
    PublishAllPorts: bool,
    ReadonlyRootfs: bool,
    SecurityOpt: slice(string),
    StorageOpt: map(string),
    Tmpfs: map(string),
    UTSMode: string,
    UsernsMode: string,
    ShmSize: int64,
    Sysctls: map(string),
    Runtime: string,
    Isolation: string,
    Mounts: slice(mount),
    MaskedPaths: slice(string),
    ReadonlyPaths: slice(string),
    Init: bool,
  },
  { Resources: resources },
);

const endpoint = struct("network.EndpointSettings", {
  IPAMConfig: struct("network.EndpointIPAMConfig", { IPv4Address: string, IPv6Address: string, LinkLocalIPs: slice(string) }),
  Links: slice(string),
  MacAddress: string,
  Aliases: slice(string),
  DriverOpts: map(string),
  GwPriority: int,
  NetworkID: string,
  EndpointID: string,
  Gateway: string,
  IPAddress: string,
  IPPrefixLen: int,
  IPv6Gateway: string,
  GlobalIPv6Address: string,
  GlobalIPv6PrefixLen: int,
  DNSNames: slice(string),
});

const config: Readonly<Record<string, GoType>> = {
  Hostname: string,
  Domainname: string,
  User: string,
  AttachStdin: bool,
  AttachStdout: bool,
  AttachStderr: bool,
  ExposedPorts: map(empty),
  Tty: bool,
  OpenStdin: bool,
  StdinOnce: bool,
  Env: slice(string),
  Cmd: strings,
  Healthcheck: struct("container.HealthConfig", {
    Test: slice(string),
    Interval: duration,
    Timeout: duration,
    StartPeriod: duration,
    StartInterval: duration,
    Retries: int,
  }),
  ArgsEscaped: bool,
  Image: string,
  Volumes: map(empty),
  WorkingDir: string,
  Entrypoint: strings,
  NetworkDisabled: bool,
  MacAddress: string,
  OnBuild: slice(string),
  Labels: map(string),
  StopSignal: string,
  StopTimeout: int,
  Shell: strings,
};

/** POST /containers/create; `seen` holds "Config" when any of its fields was there. */
export const containerCreateBody = struct(
  "container.CreateRequest",
  { HostConfig: hostConfig, NetworkingConfig: struct("network.NetworkingConfig", { EndpointsConfig: map(endpoint) }) },
  { Config: config },
);

const ipam = struct("network.IPAM", {
  Driver: string,
  Options: map(string),
  Config: slice(struct("network.IPAMConfig", { Subnet: string, IPRange: string, Gateway: string, AuxiliaryAddresses: map(string) })),
});

/** POST /networks/create */
export const networkCreateBody = struct("network.CreateRequest", {
  Name: string,
  CheckDuplicate: bool,
  Driver: string,
  Scope: string,
  EnableIPv4: bool,
  EnableIPv6: bool,
  IPAM: ipam,
  Internal: bool,
  Attachable: bool,
  Ingress: bool,
  ConfigOnly: bool,
  ConfigFrom: struct("network.ConfigReference", { Network: string }),
  Options: map(string),
  Labels: map(string),
});

/** POST /networks/{id}/connect */
export const networkConnectBody = struct("networkbackend.ConnectRequest", { Container: string, EndpointConfig: endpoint });

/** POST /networks/{id}/disconnect */
export const networkDisconnectBody = struct("networkbackend.DisconnectRequest", { Container: string, Force: bool });

/** POST /containers/{id}/checkpoints */
export const checkpointBody = struct("checkpoint.CreateOptions", { CheckpointID: string, CheckpointDir: string, Exit: bool });

/** POST /containers/{id}/exec */
export const execCreateBody = struct("container.ExecCreateRequest", {
  User: string,
  Privileged: bool,
  Tty: bool,
  ConsoleSize: slice(uint),
  AttachStdin: bool,
  AttachStderr: bool,
  AttachStdout: bool,
  DetachKeys: string,
  Env: slice(string),
  WorkingDir: string,
  Cmd: slice(string),
});

/** POST /exec/{id}/start */
export const execStartBody = struct("container.ExecStartRequest", { Detach: bool, Tty: bool, ConsoleSize: slice(uint) });

/** POST /volumes/create */
export const volumeCreateBody = struct("volume.CreateRequest", {
  Name: string,
  Driver: string,
  DriverOpts: map(string),
  Labels: map(string),
  ClusterVolumeSpec: any,
});

/** POST /auth */
export const authBody = struct("registry.AuthConfig", {
  username: string,
  password: string,
  auth: string,
  email: string,
  serveraddress: string,
  identitytoken: string,
  registrytoken: string,
});
