// Made by scripts/generate-dto.ts from Docker's Engine API 1.56; do not edit.
// Every field is optional: which ones a request must have, and a version shows, is decided where they are read and written.

export interface ImageHistoryResponseItem {
  readonly Id?: string | undefined;
  readonly Created?: number | undefined;
  readonly CreatedBy?: string | undefined;
  readonly Tags?: readonly string[] | null | undefined;
  readonly Size?: number | undefined;
  readonly Comment?: string | undefined;
}

export interface PortSummary {
  /** Host IP address that the container's port is mapped to */
  readonly IP?: string | undefined;
  /** Port on the container */
  readonly PrivatePort?: number | undefined;
  /** Port exposed on the host */
  readonly PublicPort?: number | undefined;
  readonly Type?: string | undefined;
}

export type MountType = string;

export interface MountPoint {
  /** The mount type: */
  readonly Type?: MountType | undefined;
  /** Name is the name reference to the underlying data defined by `Source` e.g., the volume name. */
  readonly Name?: string | undefined;
  /** Source location of the mount. */
  readonly Source?: string | undefined;
  /** Destination is the path relative to the container root (`/`) where the `Source` is mounted inside the container. */
  readonly Destination?: string | undefined;
  /** Driver is the volume driver used to create the volume (if it is a volume). */
  readonly Driver?: string | undefined;
  /** Mode is a comma separated list of options supplied by the user when creating the bind/volume mount. */
  readonly Mode?: string | undefined;
  /** Whether the mount is mounted writable (read-write). */
  readonly RW?: boolean | undefined;
  readonly Propagation?: string | undefined;
}

export interface DeviceMapping {
  readonly PathOnHost?: string | undefined;
  readonly PathInContainer?: string | undefined;
  readonly CgroupPermissions?: string | undefined;
}

export interface DeviceRequest {
  /** The name of the device driver to use for this request. */
  readonly Driver?: string | undefined;
  readonly Count?: number | undefined;
  readonly DeviceIDs?: readonly string[] | null | undefined;
  /** A list of capabilities; an OR list of AND lists of capabilities. */
  readonly Capabilities?: readonly (readonly string[] | null)[] | null | undefined;
  /** Driver-specific options, specified as a key/value pairs. These options are passed directly to the driver. */
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
}

export interface ThrottleDevice {
  /** Device path */
  readonly Path?: string | undefined;
  /** Rate */
  readonly Rate?: number | undefined;
}

export interface Mount {
  /** Container path. */
  readonly Target?: string | undefined;
  readonly Source?: string | undefined;
  /** The mount type. Available types: */
  readonly Type?: MountType | undefined;
  /** Whether the mount should be read-only. */
  readonly ReadOnly?: boolean | undefined;
  /** The consistency requirement for the mount: `default`, `consistent`, `cached`, or `delegated`. */
  readonly Consistency?: string | undefined;
  /** Optional configuration for the `bind` type. */
  readonly BindOptions?: {
    /** A propagation mode with the value `[r]private`, `[r]shared`, or `[r]slave`. */
    readonly Propagation?: string | undefined;
    /** Disable recursive bind mount. */
    readonly NonRecursive?: boolean | undefined;
    /** Create mount point on host if missing */
    readonly CreateMountpoint?: boolean | undefined;
    /** Make the mount non-recursively read-only, but still leave the mount recursive (unless NonRecursive is set to `true` in conjunction). */
    readonly ReadOnlyNonRecursive?: boolean | undefined;
    /** Raise an error if the mount cannot be made recursively read-only. */
    readonly ReadOnlyForceRecursive?: boolean | undefined;
  } | undefined;
  /** Optional configuration for the `volume` type. */
  readonly VolumeOptions?: {
    /** Populate volume with data from the target. */
    readonly NoCopy?: boolean | undefined;
    /** User-defined key/value metadata. */
    readonly Labels?: Readonly<Record<string, string>> | null | undefined;
    /** Map of driver specific options */
    readonly DriverConfig?: {
      /** Name of the driver to use to create the volume. */
      readonly Name?: string | undefined;
      /** key/value map of driver specific options. */
      readonly Options?: Readonly<Record<string, string>> | null | undefined;
    } | undefined;
    /** Source path inside the volume. Must be relative without any back traversals. */
    readonly Subpath?: string | undefined;
  } | undefined;
  /** Optional configuration for the `image` type. */
  readonly ImageOptions?: {
    /** Source path inside the image. Must be relative without any back traversals. */
    readonly Subpath?: string | undefined;
  } | undefined;
  /** Optional configuration for the `tmpfs` type. */
  readonly TmpfsOptions?: {
    /** The size for the tmpfs mount in bytes. */
    readonly SizeBytes?: number | undefined;
    readonly Mode?: number | undefined;
    readonly Options?: readonly (readonly string[] | null)[] | null | undefined;
  } | undefined;
}

export interface RestartPolicy {
  readonly Name?: string | undefined;
  /** If `on-failure` is used, the number of times to retry before giving up. */
  readonly MaximumRetryCount?: number | undefined;
}

export interface Resources {
  /** An integer value representing this container's relative CPU weight versus other containers. */
  readonly CpuShares?: number | undefined;
  /** Memory limit in bytes. */
  readonly Memory?: number | undefined;
  readonly CgroupParent?: string | undefined;
  /** Block IO weight (relative weight). */
  readonly BlkioWeight?: number | undefined;
  /** Block IO weight (relative device weight) in the form: */
  readonly BlkioWeightDevice?: readonly ({
    readonly Path?: string | undefined;
    readonly Weight?: number | undefined;
  })[] | null | undefined;
  /** Limit read rate (bytes per second) from a device, in the form: */
  readonly BlkioDeviceReadBps?: readonly ThrottleDevice[] | null | undefined;
  /** Limit write rate (bytes per second) to a device, in the form: */
  readonly BlkioDeviceWriteBps?: readonly ThrottleDevice[] | null | undefined;
  /** Limit read rate (IO per second) from a device, in the form: */
  readonly BlkioDeviceReadIOps?: readonly ThrottleDevice[] | null | undefined;
  /** Limit write rate (IO per second) to a device, in the form: */
  readonly BlkioDeviceWriteIOps?: readonly ThrottleDevice[] | null | undefined;
  /** The length of a CPU period in microseconds. */
  readonly CpuPeriod?: number | undefined;
  /** Microseconds of CPU time that the container can get in a CPU period. */
  readonly CpuQuota?: number | undefined;
  /** The length of a CPU real-time period in microseconds. Set to 0 to allocate no time allocated to real-time tasks. */
  readonly CpuRealtimePeriod?: number | undefined;
  /** The length of a CPU real-time runtime in microseconds. Set to 0 to allocate no time allocated to real-time tasks. */
  readonly CpuRealtimeRuntime?: number | undefined;
  /** CPUs in which to allow execution (e.g., `0-3`, `0,1`). */
  readonly CpusetCpus?: string | undefined;
  /** Memory nodes (MEMs) in which to allow execution (0-3, 0,1). Only effective on NUMA systems. */
  readonly CpusetMems?: string | undefined;
  /** A list of devices to add to the container. */
  readonly Devices?: readonly DeviceMapping[] | null | undefined;
  /** a list of cgroup rules to apply to the container */
  readonly DeviceCgroupRules?: readonly string[] | null | undefined;
  /** A list of requests for devices to be sent to device drivers. */
  readonly DeviceRequests?: readonly DeviceRequest[] | null | undefined;
  /** Memory soft limit in bytes. */
  readonly MemoryReservation?: number | undefined;
  /** Total memory limit (memory + swap). Set as `-1` to enable unlimited swap. */
  readonly MemorySwap?: number | undefined;
  /** Tune a container's memory swappiness behavior. Accepts an integer between 0 and 100. */
  readonly MemorySwappiness?: number | undefined;
  /** CPU quota in units of 10<sup>-9</sup> CPUs. */
  readonly NanoCpus?: number | undefined;
  /** Disable OOM Killer for the container. */
  readonly OomKillDisable?: boolean | undefined;
  readonly Init?: boolean | null | undefined;
  /** Tune a container's PIDs limit. Set `0` or `-1` for unlimited, or `null` to not change. */
  readonly PidsLimit?: number | null | undefined;
  /** A list of resource limits to set in the container. For example: */
  readonly Ulimits?: readonly ({
    /** Name of ulimit */
    readonly Name?: string | undefined;
    /** Soft limit */
    readonly Soft?: number | undefined;
    /** Hard limit */
    readonly Hard?: number | undefined;
  })[] | null | undefined;
  /** The number of usable CPUs (Windows only). */
  readonly CpuCount?: number | undefined;
  /** The usable percentage of the available CPUs (Windows only). */
  readonly CpuPercent?: number | undefined;
  /** Maximum IOps for the container system drive (Windows only) */
  readonly IOMaximumIOps?: number | undefined;
  /** Maximum IO in bytes per second for the container system drive (Windows only). */
  readonly IOMaximumBandwidth?: number | undefined;
}

export type GenericResources = readonly ({
  readonly NamedResourceSpec?: {
    readonly Kind?: string | undefined;
    readonly Value?: string | undefined;
  } | undefined;
  readonly DiscreteResourceSpec?: {
    readonly Kind?: string | undefined;
    readonly Value?: number | undefined;
  } | undefined;
})[] | null;

export interface HealthConfig {
  /** The test to perform. Possible values are: */
  readonly Test?: readonly string[] | null | undefined;
  /** The time to wait between checks in nanoseconds. It should be 0 or at least 1000000 (1 ms). 0 means inherit. */
  readonly Interval?: number | undefined;
  /** The time to wait before considering the check to have hung. It should be 0 or at least 1000000 (1 ms). 0 means inherit. */
  readonly Timeout?: number | undefined;
  /** The number of consecutive failures needed to consider a container as unhealthy. 0 means inherit. */
  readonly Retries?: number | undefined;
  readonly StartPeriod?: number | undefined;
  /** The time to wait between checks in nanoseconds during the start period. It should be 0 or at least 1000000 (1 ms). 0 means inherit. */
  readonly StartInterval?: number | undefined;
}

export type Health = {
  /** Status is one of `none`, `starting`, `healthy` or `unhealthy` */
  readonly Status?: string | undefined;
  /** FailingStreak is the number of consecutive failures */
  readonly FailingStreak?: number | undefined;
  /** Log contains the last few results (oldest first) */
  readonly Log?: readonly HealthcheckResult[] | null | undefined;
} | null;

export type HealthcheckResult = {
  /** Date and time at which this check started in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly Start?: string | undefined;
  /** Date and time at which this check ended in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly End?: string | undefined;
  /** ExitCode meanings: */
  readonly ExitCode?: number | undefined;
  /** Output from last check */
  readonly Output?: string | undefined;
} | null;

export type HostConfig = Resources & {
  /** A list of volume bindings for this container. Each volume binding is a string in one of these forms: */
  readonly Binds?: readonly string[] | null | undefined;
  /** Path to a file where the container ID is written */
  readonly ContainerIDFile?: string | undefined;
  /** The logging configuration for this container */
  readonly LogConfig?: {
    /** Name of the logging driver used for the container or "none" if logging is disabled. */
    readonly Type?: string | undefined;
    /** Driver-specific configuration options for the logging driver. */
    readonly Config?: Readonly<Record<string, string>> | null | undefined;
  } | undefined;
  readonly NetworkMode?: string | undefined;
  readonly PortBindings?: PortMap | undefined;
  readonly RestartPolicy?: RestartPolicy | undefined;
  /** Automatically remove the container when the container's process exits. This has no effect if `RestartPolicy` is set. */
  readonly AutoRemove?: boolean | undefined;
  /** Driver that this container uses to mount volumes. */
  readonly VolumeDriver?: string | undefined;
  /** A list of volumes to inherit from another container, specified in the form `<container name>[:<ro|rw>]`. */
  readonly VolumesFrom?: readonly string[] | null | undefined;
  /** Specification for mounts to be added to the container. */
  readonly Mounts?: readonly Mount[] | null | undefined;
  /** Initial console size, as an `[height, width]` array. */
  readonly ConsoleSize?: readonly number[] | null | null | undefined;
  /** Arbitrary non-identifying metadata attached to container and provided to the runtime when the container is started. */
  readonly Annotations?: Readonly<Record<string, string>> | null | undefined;
  /** A list of kernel capabilities to add to the container. Conflicts with option 'Capabilities'. */
  readonly CapAdd?: readonly string[] | null | undefined;
  /** A list of kernel capabilities to drop from the container. Conflicts with option 'Capabilities'. */
  readonly CapDrop?: readonly string[] | null | undefined;
  /** cgroup namespace mode for the container. Possible values are: */
  readonly CgroupnsMode?: string | undefined;
  /** A list of DNS servers for the container to use. */
  readonly Dns?: readonly string[] | null | undefined;
  /** A list of DNS options. */
  readonly DnsOptions?: readonly string[] | null | undefined;
  /** A list of DNS search domains. */
  readonly DnsSearch?: readonly string[] | null | undefined;
  /** A list of hostnames/IP mappings to add to the container's `/etc/hosts` file. Specified in the form `["hostname:IP"]`. */
  readonly ExtraHosts?: readonly string[] | null | undefined;
  /** A list of additional groups that the container process will run as. */
  readonly GroupAdd?: readonly string[] | null | undefined;
  /** IPC sharing mode for the container. Possible values are: */
  readonly IpcMode?: string | undefined;
  /** Cgroup to use for the container. */
  readonly Cgroup?: string | undefined;
  /** A list of links for the container in the form `container_name:alias`. */
  readonly Links?: readonly string[] | null | undefined;
  /** An integer value containing the score given to the container in order to tune OOM killer preferences. */
  readonly OomScoreAdj?: number | undefined;
  /** Set the PID (Process) Namespace mode for the container. It can be either: */
  readonly PidMode?: string | undefined;
  /** Gives the container full access to the host. */
  readonly Privileged?: boolean | undefined;
  /** Allocates an ephemeral host port for all of a container's exposed ports. */
  readonly PublishAllPorts?: boolean | undefined;
  /** Mount the container's root filesystem as read only. */
  readonly ReadonlyRootfs?: boolean | undefined;
  /** A list of string values to customize labels for MLS systems, such as SELinux. */
  readonly SecurityOpt?: readonly string[] | null | undefined;
  /** Storage driver options for this container, in the form `{"size": "120G"}`. */
  readonly StorageOpt?: Readonly<Record<string, string>> | null | undefined;
  /** A map of container directories which should be replaced by tmpfs mounts, and their corresponding mount options. For example: */
  readonly Tmpfs?: Readonly<Record<string, string>> | null | undefined;
  /** UTS namespace to use for the container. */
  readonly UTSMode?: string | undefined;
  /** Sets the usernamespace mode for the container when usernamespace remapping option is enabled. */
  readonly UsernsMode?: string | undefined;
  /** Not docker's; podman's: what ids of a container with a user namespace are on the host, `CONTAINER:HOST:SIZE` each. Output only. */
  readonly IDMappings?: { readonly UidMap: readonly string[]; readonly GidMap: readonly string[] } | undefined;
  /** Not docker's: how far the clocks of a container with a time namespace are from the host's, in seconds. Output only. */
  readonly TimeOffsets?: { readonly Monotonic: number; readonly Boottime: number } | undefined;
  /** Size of `/dev/shm` in bytes. If omitted, the system uses 64MB. */
  readonly ShmSize?: number | undefined;
  /** A list of kernel parameters (sysctls) to set in the container. */
  readonly Sysctls?: Readonly<Record<string, string>> | null | null | undefined;
  /** Runtime to use with this container. */
  readonly Runtime?: string | null | undefined;
  /** Isolation technology of the container. (Windows only) */
  readonly Isolation?: string | undefined;
  /** The list of paths to be masked inside the container (this overrides the default set of paths). */
  readonly MaskedPaths?: readonly string[] | null | undefined;
  /** The list of paths to be set as read-only inside the container (this overrides the default set of paths). */
  readonly ReadonlyPaths?: readonly string[] | null | undefined;
};

export interface ContainerConfig {
  /** The hostname to use for the container, as a valid RFC 1123 hostname. */
  readonly Hostname?: string | undefined;
  /** The domain name to use for the container. */
  readonly Domainname?: string | undefined;
  /** Commands run as this user inside the container. If omitted, commands run as the user specified in the image the container was started from. */
  readonly User?: string | undefined;
  /** Whether to attach to `stdin`. */
  readonly AttachStdin?: boolean | undefined;
  /** Whether to attach to `stdout`. */
  readonly AttachStdout?: boolean | undefined;
  /** Whether to attach to `stderr`. */
  readonly AttachStderr?: boolean | undefined;
  /** An object mapping ports to an empty object in the form: */
  readonly ExposedPorts?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | null | null | undefined;
  /** Attach standard streams to a TTY, including `stdin` if it is not closed. */
  readonly Tty?: boolean | undefined;
  /** Open `stdin` */
  readonly OpenStdin?: boolean | undefined;
  /** Close `stdin` after one attached client disconnects */
  readonly StdinOnce?: boolean | undefined;
  readonly Env?: readonly string[] | null | undefined;
  /** Command to run specified as a string or an array of strings. */
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Healthcheck?: HealthConfig | undefined;
  /** Command is already escaped (Windows only) */
  readonly ArgsEscaped?: boolean | null | undefined;
  /** The name (or reference) of the image to use when creating the container, or which was used when the container was created. */
  readonly Image?: string | undefined;
  /** An object mapping mount point paths inside the container to empty objects. */
  readonly Volumes?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | null | undefined;
  /** The working directory for commands to run in. */
  readonly WorkingDir?: string | undefined;
  /** The entry point for the container as a string or an array of strings. */
  readonly Entrypoint?: readonly string[] | null | undefined;
  /** Disable networking for the container. */
  readonly NetworkDisabled?: boolean | null | undefined;
  /** `ONBUILD` metadata that were defined in the image's `Dockerfile`. */
  readonly OnBuild?: readonly string[] | null | null | undefined;
  /** User-defined key/value metadata. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  /** Signal to stop a container as a string or unsigned integer. */
  readonly StopSignal?: string | null | undefined;
  /** Timeout to stop a container in seconds. If omitted, the daemon-wide default (`default-stop-timeout`) is used. */
  readonly StopTimeout?: number | null | undefined;
  /** Shell for when `RUN`, `CMD`, and `ENTRYPOINT` uses a shell. */
  readonly Shell?: readonly string[] | null | null | undefined;
}

export interface ImageConfig {
  /** The user that commands are run as inside the container. */
  readonly User?: string | undefined;
  /** An object mapping ports to an empty object in the form: */
  readonly ExposedPorts?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | null | null | undefined;
  readonly Env?: readonly string[] | null | undefined;
  /** Command to run specified as a string or an array of strings. */
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Healthcheck?: HealthConfig | undefined;
  /** Command is already escaped (Windows only) */
  readonly ArgsEscaped?: boolean | null | undefined;
  /** An object mapping mount point paths inside the container to empty objects. */
  readonly Volumes?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | null | undefined;
  /** The working directory for commands to run in. */
  readonly WorkingDir?: string | undefined;
  /** The entry point for the container as a string or an array of strings. */
  readonly Entrypoint?: readonly string[] | null | undefined;
  /** `ONBUILD` metadata that were defined in the image's `Dockerfile`. */
  readonly OnBuild?: readonly string[] | null | null | undefined;
  /** User-defined key/value metadata. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  /** Signal to stop a container as a string or unsigned integer. */
  readonly StopSignal?: string | null | undefined;
  /** Shell for when `RUN`, `CMD`, and `ENTRYPOINT` uses a shell. */
  readonly Shell?: readonly string[] | null | null | undefined;
}

export interface NetworkingConfig {
  readonly EndpointsConfig?: Readonly<Record<string, EndpointSettings>> | null | undefined;
}

export interface NetworkSettings {
  /** SandboxID uniquely represents a container's network stack. */
  readonly SandboxID?: string | undefined;
  /** SandboxKey is the full path of the netns handle */
  readonly SandboxKey?: string | undefined;
  readonly Ports?: PortMap | undefined;
  /** Information about all networks that the container is connected to. */
  readonly Networks?: Readonly<Record<string, EndpointSettings>> | null | undefined;
}

export interface Address {
  /** IP address. */
  readonly Addr?: string | undefined;
  /** Mask length of the IP address. */
  readonly PrefixLen?: number | undefined;
}

export type PortMap = Readonly<Record<string, readonly PortBinding[] | null | null>> | null;

export interface PortBinding {
  /** Host IP address that the container's port is mapped to. */
  readonly HostIp?: string | undefined;
  /** Host port number that the container's port is mapped to. */
  readonly HostPort?: string | undefined;
}

export interface DriverData {
  /** Name of the storage driver. */
  readonly Name?: string | undefined;
  /** Low-level storage metadata, provided as key/value pairs. */
  readonly Data?: Readonly<Record<string, string>> | null | undefined;
}

export interface Storage {
  /** Information about the storage used for the container's root filesystem. */
  readonly RootFS?: RootFSStorage | null | undefined;
}

export interface RootFSStorage {
  /** Information about the snapshot used for the container's root filesystem. */
  readonly Snapshot?: RootFSStorageSnapshot | null | undefined;
}

export interface RootFSStorageSnapshot {
  /** Name of the snapshotter. */
  readonly Name?: string | undefined;
}

export interface FilesystemChange {
  /** Path to file or directory that has changed. */
  readonly Path?: string | undefined;
  readonly Kind?: ChangeType | undefined;
}

export type ChangeType = number;

export interface ImageInspect {
  /** ID is the content-addressable ID of an image. */
  readonly Id?: string | undefined;
  /** Descriptor is an OCI descriptor of the image target. In case of a multi-platform image, this descriptor points to the OCI index or a manifest list. */
  readonly Descriptor?: OCIDescriptor | null | undefined;
  readonly Manifests?: readonly ImageManifestSummary[] | null | null | undefined;
  readonly Identity?: Identity | null | undefined;
  /** List of image names/tags in the local image cache that reference this image. */
  readonly RepoTags?: readonly string[] | null | undefined;
  /** List of content-addressable digests of locally available image manifests that the image is referenced from. Multiple manifests can refer to the same image. */
  readonly RepoDigests?: readonly string[] | null | undefined;
  /** Optional message that was set when committing or importing the image. */
  readonly Comment?: string | null | undefined;
  /** Date and time at which the image was created, formatted in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly Created?: string | null | undefined;
  /** Name of the author that was specified when committing the image, or as specified through MAINTAINER (deprecated) in the Dockerfile. */
  readonly Author?: string | null | undefined;
  readonly Config?: ImageConfig | undefined;
  /** Hardware CPU architecture that the image runs on. */
  readonly Architecture?: string | undefined;
  /** CPU architecture variant (presently ARM-only). */
  readonly Variant?: string | null | undefined;
  /** Operating System the image is built to run on. */
  readonly Os?: string | undefined;
  /** Operating System version the image is built to run on (especially for Windows). */
  readonly OsVersion?: string | null | undefined;
  /** Total size of the image variant, including all layers it is composed of. */
  readonly Size?: number | undefined;
  readonly GraphDriver?: DriverData | null | undefined;
  /** Information about the image's RootFS, including the layer IDs. */
  readonly RootFS?: {
    readonly Type?: string | undefined;
    readonly Layers?: readonly string[] | null | undefined;
  } | undefined;
  /** Additional metadata of the image in the local cache. This information is local to the daemon, and not part of the image itself. */
  readonly Metadata?: {
    /** Date and time at which the image was last tagged in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
    readonly LastTagTime?: string | null | undefined;
  } | undefined;
}

export interface Identity {
  /** Signature contains the properties of verified signatures for the image. */
  readonly Signature?: readonly SignatureIdentity[] | null | undefined;
  readonly Pull?: readonly PullIdentity[] | null | undefined;
  /** Build contains build reference information if image was created via build. */
  readonly Build?: readonly BuildIdentity[] | null | undefined;
}

export interface BuildIdentity {
  /** Ref is the identifier for the build request. This reference can be used to look up the build details in BuildKit history API. */
  readonly Ref?: string | undefined;
  /** CreatedAt is the time when the build ran. */
  readonly CreatedAt?: string | undefined;
}

export interface PullIdentity {
  /** Repository is the remote repository location the image was pulled from. */
  readonly Repository?: string | undefined;
}

export interface SignatureIdentity {
  /** Name is a textual description summarizing the type of signature. */
  readonly Name?: string | undefined;
  /** Timestamps contains a list of verified signed timestamps for the signature. */
  readonly Timestamps?: readonly SignatureTimestamp[] | null | undefined;
  /** KnownSigner is an identifier for a special signer identity that is known to the implementation. */
  readonly KnownSigner?: KnownSignerIdentity | undefined;
  /** DockerReference is the Docker image reference associated with the signature. This is an optional field only present in older hashedrecord signatures. */
  readonly DockerReference?: string | undefined;
  /** Signer contains information about the signer certificate used to sign the image. */
  readonly Signer?: SignerIdentity | undefined;
  /** SignatureType is the type of signature format. E.g. "bundle-v0.3" or "hashedrecord". */
  readonly SignatureType?: SignatureType | undefined;
  /** Error contains error information if signature verification failed. Other fields will be empty in this case. */
  readonly Error?: string | undefined;
  readonly Warnings?: readonly string[] | null | undefined;
}

export interface SignatureTimestamp {
  readonly Type?: SignatureTimestampType | undefined;
  readonly URI?: string | undefined;
  readonly Timestamp?: string | undefined;
}

export type SignatureTimestampType = string;

export type SignatureType = string;

export type KnownSignerIdentity = string;

export interface SignerIdentity {
  /** CertificateIssuer is the certificate issuer. */
  readonly CertificateIssuer?: string | undefined;
  /** SubjectAlternativeName is the certificate subject alternative name. */
  readonly SubjectAlternativeName?: string | undefined;
  readonly Issuer?: string | undefined;
  /** Reference to specific build instructions that are responsible for signing. */
  readonly BuildSignerURI?: string | undefined;
  /** Immutable reference to the specific version of the build instructions that is responsible for signing. */
  readonly BuildSignerDigest?: string | undefined;
  /** Specifies whether the build took place in platform-hosted cloud infrastructure or customer/self-hosted infrastructure. */
  readonly RunnerEnvironment?: string | undefined;
  /** Source repository URL that the build was based on. */
  readonly SourceRepositoryURI?: string | undefined;
  /** Immutable reference to a specific version of the source code that the build was based upon. */
  readonly SourceRepositoryDigest?: string | undefined;
  /** Source Repository Ref that the build run was based upon. */
  readonly SourceRepositoryRef?: string | undefined;
  /** Immutable identifier for the source repository the workflow was based upon. */
  readonly SourceRepositoryIdentifier?: string | undefined;
  /** Source repository owner URL of the owner of the source repository that the build was based on. */
  readonly SourceRepositoryOwnerURI?: string | undefined;
  /** Immutable identifier for the owner of the source repository that the workflow was based upon. */
  readonly SourceRepositoryOwnerIdentifier?: string | undefined;
  /** Build Config URL to the top-level/initiating build instructions. */
  readonly BuildConfigURI?: string | undefined;
  /** Immutable reference to the specific version of the top-level/initiating build instructions. */
  readonly BuildConfigDigest?: string | undefined;
  /** Event or action that initiated the build. */
  readonly BuildTrigger?: string | undefined;
  /** Run Invocation URL to uniquely identify the build execution. */
  readonly RunInvocationURI?: string | undefined;
  /** Source repository visibility at the time of signing the certificate. */
  readonly SourceRepositoryVisibilityAtSigning?: string | undefined;
}

export interface ImageSummary {
  /** ID is the content-addressable ID of an image. */
  readonly Id?: string | undefined;
  /** ID of the parent image. */
  readonly ParentId?: string | undefined;
  /** List of image names/tags in the local image cache that reference this image. */
  readonly RepoTags?: readonly string[] | null | undefined;
  /** List of content-addressable digests of locally available image manifests that the image is referenced from. Multiple manifests can refer to the same image. */
  readonly RepoDigests?: readonly string[] | null | undefined;
  /** Date and time at which the image was created as a Unix timestamp (number of seconds since EPOCH). */
  readonly Created?: number | undefined;
  /** Total size of the image including all layers it is composed of. */
  readonly Size?: number | undefined;
  /** Total size of image layers that are shared between this image and other images. */
  readonly SharedSize?: number | undefined;
  /** User-defined key/value metadata. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  /** Number of containers using this image. Includes both stopped and running containers. */
  readonly Containers?: number | undefined;
  readonly Manifests?: readonly ImageManifestSummary[] | null | undefined;
  /** Descriptor is an OCI descriptor of the image target. In case of a multi-platform image, this descriptor points to the OCI index or a manifest list. */
  readonly Descriptor?: OCIDescriptor | null | undefined;
}

export interface ImagesDiskUsage {
  /** Count of active images. */
  readonly ActiveCount?: number | undefined;
  /** Count of all images. */
  readonly TotalCount?: number | undefined;
  /** Disk space that can be reclaimed by removing unused images. */
  readonly Reclaimable?: number | undefined;
  /** Disk space in use by images. */
  readonly TotalSize?: number | undefined;
  /** List of image summaries. */
  readonly Items?: readonly (Readonly<Record<string, unknown>>)[] | null | undefined;
}

export interface AuthConfig {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly serveraddress?: string | undefined;
}

export interface AuthResponse {
  /** The status of the authentication */
  readonly Status?: string | undefined;
  /** An opaque token used to authenticate a user after a successful login */
  readonly IdentityToken?: string | undefined;
}

export interface ProcessConfig {
  readonly privileged?: boolean | undefined;
  readonly user?: string | undefined;
  readonly tty?: boolean | undefined;
  readonly entrypoint?: string | undefined;
  readonly arguments?: readonly string[] | null | undefined;
}

export interface Volume {
  /** Name of the volume. */
  readonly Name?: string | undefined;
  /** Name of the volume driver used by the volume. */
  readonly Driver?: string | undefined;
  /** Mount path of the volume on the host. */
  readonly Mountpoint?: string | undefined;
  /** Date/Time the volume was created. */
  readonly CreatedAt?: string | undefined;
  /** Low-level details about the volume, provided by the volume driver. Details are returned as a map with key/value pairs: `{"key":"value","key2":"value2"}`. */
  readonly Status?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | null | undefined;
  /** User-defined key/value metadata. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  /** The level at which the volume exists. Either `global` for cluster-wide, or `local` for machine level. */
  readonly Scope?: string | undefined;
  readonly ClusterVolume?: ClusterVolume | undefined;
  /** The driver specific options used when creating the volume. */
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
  /** Usage details about the volume. This information is used by the `GET /system/df` endpoint, and omitted in other endpoints. */
  readonly UsageData?: {
    readonly Size?: number | undefined;
    /** The number of containers referencing this volume. This field is set to `-1` if the reference-count is not available. */
    readonly RefCount?: number | undefined;
  } | null | undefined;
}

export interface VolumesDiskUsage {
  /** Count of active volumes. */
  readonly ActiveCount?: number | undefined;
  /** Count of all volumes. */
  readonly TotalCount?: number | undefined;
  /** Disk space that can be reclaimed by removing inactive volumes. */
  readonly Reclaimable?: number | undefined;
  /** Disk space in use by volumes. */
  readonly TotalSize?: number | undefined;
  /** List of volumes. */
  readonly Items?: readonly (Readonly<Record<string, unknown>>)[] | null | undefined;
}

export interface VolumeCreateRequest {
  /** The new volume's name. If not specified, Docker generates a name. */
  readonly Name?: string | undefined;
  /** Name of the volume driver to use. */
  readonly Driver?: string | undefined;
  /** A mapping of driver options and values. These options are passed directly to the driver and are driver specific. */
  readonly DriverOpts?: Readonly<Record<string, string>> | null | undefined;
  /** User-defined key/value metadata. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  readonly ClusterVolumeSpec?: ClusterVolumeSpec | undefined;
}

export interface VolumeListResponse {
  /** List of volumes */
  readonly Volumes?: readonly Volume[] | null | undefined;
  /** Warnings that occurred when fetching the list of volumes. */
  readonly Warnings?: readonly string[] | null | undefined;
}

export interface Network {
  /** Name of the network. */
  readonly Name?: string | undefined;
  /** ID that uniquely identifies a network on a single machine. */
  readonly Id?: string | undefined;
  /** Date and time at which the network was created in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly Created?: string | undefined;
  /** The level at which the network exists (e.g. `swarm` for cluster-wide or `local` for machine level) */
  readonly Scope?: string | undefined;
  /** The name of the driver used to create the network (e.g. `bridge`, `overlay`). */
  readonly Driver?: string | undefined;
  /** Whether the network was created with IPv4 enabled. */
  readonly EnableIPv4?: boolean | undefined;
  /** Whether the network was created with IPv6 enabled. */
  readonly EnableIPv6?: boolean | undefined;
  /** The network's IP Address Management. */
  readonly IPAM?: IPAM | undefined;
  /** Whether the network is created to only allow internal networking connectivity. */
  readonly Internal?: boolean | undefined;
  /** Whether a global / swarm scope network is manually attachable by regular containers from workers in swarm mode. */
  readonly Attachable?: boolean | undefined;
  /** Whether the network is providing the routing-mesh for the swarm cluster. */
  readonly Ingress?: boolean | undefined;
  readonly ConfigFrom?: ConfigReference | undefined;
  readonly ConfigOnly?: boolean | undefined;
  /** Network-specific options uses when creating the network. */
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
  /** Metadata specific to the network being created. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  /** List of peer nodes for an overlay network. This field is only present for overlay networks, and omitted for other network types. */
  readonly Peers?: readonly PeerInfo[] | null | undefined;
}

export type NetworkSummary = Network;

export type NetworkInspect = Network;

export interface NetworkStatus {
  readonly IPAM?: IPAMStatus | undefined;
}

export interface ServiceInfo {
  readonly VIP?: string | undefined;
  readonly Ports?: readonly string[] | null | undefined;
  readonly LocalLBIndex?: number | undefined;
  readonly Tasks?: readonly NetworkTaskInfo[] | null | undefined;
}

export interface NetworkTaskInfo {
  readonly Name?: string | undefined;
  readonly EndpointID?: string | undefined;
  readonly EndpointIP?: string | undefined;
  readonly Info?: Readonly<Record<string, string>> | null | undefined;
}

export interface ConfigReference {
  readonly Network?: string | undefined;
}

export interface IPAM {
  /** Name of the IPAM driver to use. */
  readonly Driver?: string | undefined;
  /** List of IPAM configuration options, specified as a map: */
  readonly Config?: readonly IPAMConfig[] | null | undefined;
  /** Driver-specific options, specified as a map. */
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
}

export interface IPAMConfig {
  readonly Subnet?: string | undefined;
  readonly IPRange?: string | undefined;
  readonly Gateway?: string | undefined;
  readonly AuxiliaryAddresses?: Readonly<Record<string, string>> | null | undefined;
}

export interface IPAMStatus {
  readonly Subnets?: Readonly<Record<string, SubnetStatus>> | null | undefined;
}

export interface SubnetStatus {
  /** Number of IP addresses in the subnet that are in use or reserved and are therefore unavailable for allocation, saturating at 2<sup>64</sup> - 1. */
  readonly IPsInUse?: number | undefined;
  /** Number of IP addresses within the network's IPRange for the subnet that are available for allocation, saturating at 2<sup>64</sup> - 1. */
  readonly DynamicIPsAvailable?: number | undefined;
}

export interface EndpointResource {
  readonly Name?: string | undefined;
  readonly EndpointID?: string | undefined;
  readonly MacAddress?: string | undefined;
  readonly IPv4Address?: string | undefined;
  readonly IPv6Address?: string | undefined;
}

export interface PeerInfo {
  /** ID of the peer-node in the Swarm cluster. */
  readonly Name?: string | undefined;
  /** IP-address of the peer-node in the Swarm cluster. */
  readonly IP?: string | undefined;
}

export interface NetworkCreateRequest {
  /** The network's name. */
  readonly Name: string;
  /** Name of the network driver plugin to use. */
  readonly Driver?: string | undefined;
  /** The level at which the network exists (e.g. `swarm` for cluster-wide or `local` for machine level). */
  readonly Scope?: string | undefined;
  /** Restrict external access to the network. */
  readonly Internal?: boolean | undefined;
  /** Globally scoped network is manually attachable by regular containers from workers in swarm mode. */
  readonly Attachable?: boolean | undefined;
  /** Ingress network is the network which provides the routing-mesh in swarm mode. */
  readonly Ingress?: boolean | undefined;
  /** Creates a config-only network. */
  readonly ConfigOnly?: boolean | undefined;
  readonly ConfigFrom?: ConfigReference | null | undefined;
  readonly IPAM?: IPAM | null | undefined;
  /** Default true. */
  readonly EnableIPv4?: boolean | null | undefined;
  /** Default as the daemon says, else false. */
  readonly EnableIPv6?: boolean | null | undefined;
  /** Network specific options to be used by the drivers. */
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
  /** User-defined key/value metadata. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  /** From the time when names were not unique; refused names are refused anyway. */
  readonly CheckDuplicate?: boolean | undefined;
}

export interface NetworkCreateResponse {
  /** The ID of the created network. */
  readonly Id?: string | undefined;
  /** Warnings encountered when creating the container */
  readonly Warning?: string | undefined;
}

export interface BuildInfo {
  readonly id?: string | undefined;
  readonly stream?: string | undefined;
  readonly errorDetail?: ErrorDetail | undefined;
  readonly status?: string | undefined;
  readonly progressDetail?: ProgressDetail | undefined;
  readonly aux?: ImageID | undefined;
}

export interface BuildCache {
  /** Unique ID of the build cache record. */
  readonly ID?: string | undefined;
  /** List of parent build cache record IDs. */
  readonly Parents?: readonly string[] | null | null | undefined;
  /** Cache record type. */
  readonly Type?: string | undefined;
  /** Description of the build-step that produced the build cache. */
  readonly Description?: string | undefined;
  /** Indicates if the build cache is in use. */
  readonly InUse?: boolean | undefined;
  /** Indicates if the build cache is shared. */
  readonly Shared?: boolean | undefined;
  /** Amount of disk space used by the build cache (in bytes). */
  readonly Size?: number | undefined;
  /** Date and time at which the build cache was created in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly CreatedAt?: string | undefined;
  /** Date and time at which the build cache was last used in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly LastUsedAt?: string | null | undefined;
  readonly UsageCount?: number | undefined;
}

export interface BuildCacheDiskUsage {
  /** Count of active build cache records. */
  readonly ActiveCount?: number | undefined;
  /** Count of all build cache records. */
  readonly TotalCount?: number | undefined;
  /** Disk space that can be reclaimed by removing inactive build cache records. */
  readonly Reclaimable?: number | undefined;
  /** Disk space in use by build cache records. */
  readonly TotalSize?: number | undefined;
  /** List of build cache records. */
  readonly Items?: readonly (Readonly<Record<string, unknown>>)[] | null | undefined;
}

export interface ImageID {
  readonly ID?: string | undefined;
}

export interface CreateImageInfo {
  readonly id?: string | undefined;
  readonly errorDetail?: ErrorDetail | undefined;
  readonly status?: string | undefined;
  readonly progressDetail?: ProgressDetail | undefined;
}

export interface PushImageInfo {
  readonly errorDetail?: ErrorDetail | undefined;
  readonly status?: string | undefined;
  readonly progressDetail?: ProgressDetail | undefined;
}

export interface DeviceInfo {
  /** The origin device driver. */
  readonly Source?: string | undefined;
  /** The unique identifier for the device within its source driver. For CDI devices, this would be an FQDN like "vendor.com/gpu=0". */
  readonly ID?: string | undefined;
}

export type NRIInfo = {
  /** Information about NRI, provided as "label" / "value" pairs. */
  readonly Info?: readonly (readonly string[] | null)[] | null | undefined;
} | null;

export interface ErrorDetail {
  readonly code?: number | undefined;
  readonly message?: string | undefined;
}

export interface ProgressDetail {
  readonly current?: number | undefined;
  readonly total?: number | undefined;
}

export interface ErrorResponse {
  /** The error message. */
  readonly message?: string | undefined;
}

export interface IDResponse {
  /** The id of the newly created object. */
  readonly Id?: string | undefined;
}

export interface NetworkConnectRequest {
  /** The ID or name of the container to connect to the network. */
  readonly Container?: string | undefined;
  readonly EndpointConfig?: EndpointSettings | null | undefined;
}

export interface NetworkDisconnectRequest {
  /** The ID or name of the container to disconnect from the network. */
  readonly Container?: string | undefined;
  /** Force the container to disconnect from the network. */
  readonly Force?: boolean | undefined;
}

export interface EndpointSettings {
  readonly IPAMConfig?: EndpointIPAMConfig | undefined;
  readonly Links?: readonly string[] | null | undefined;
  /** MAC address for the endpoint on this network. The network driver might ignore this parameter. */
  readonly MacAddress?: string | undefined;
  readonly Aliases?: readonly string[] | null | undefined;
  /** DriverOpts is a mapping of driver options and values. These options are passed directly to the driver and are driver specific. */
  readonly DriverOpts?: Readonly<Record<string, string>> | null | null | undefined;
  readonly GwPriority?: number | undefined;
  /** Unique ID of the network. */
  readonly NetworkID?: string | undefined;
  /** Unique ID for the service endpoint in a Sandbox. */
  readonly EndpointID?: string | undefined;
  /** Gateway address for this network. */
  readonly Gateway?: string | undefined;
  /** IPv4 address. */
  readonly IPAddress?: string | undefined;
  /** Mask length of the IPv4 address. */
  readonly IPPrefixLen?: number | undefined;
  /** IPv6 gateway address. */
  readonly IPv6Gateway?: string | undefined;
  /** Global IPv6 address. */
  readonly GlobalIPv6Address?: string | undefined;
  /** Mask length of the global IPv6 address. */
  readonly GlobalIPv6PrefixLen?: number | undefined;
  /** List of all DNS names an endpoint has on a specific network. This list is based on the container name, network aliases, container short ID, and hostname. */
  readonly DNSNames?: readonly string[] | null | undefined;
}

export type EndpointIPAMConfig = {
  readonly IPv4Address?: string | undefined;
  readonly IPv6Address?: string | undefined;
  readonly LinkLocalIPs?: readonly string[] | null | undefined;
} | null;

export interface ObjectVersion {
  readonly Index?: number | undefined;
}

export interface Platform {
  /** Architecture represents the hardware architecture (for example, `x86_64`). */
  readonly Architecture?: string | undefined;
  /** OS represents the Operating System (for example, `linux` or `windows`). */
  readonly OS?: string | undefined;
}

export interface TLSInfo {
  /** The root CA certificate(s) that are used to validate leaf TLS certificates. */
  readonly TrustRoot?: string | undefined;
  /** The base64-url-safe-encoded raw subject bytes of the issuer. */
  readonly CertIssuerSubject?: string | undefined;
  /** The base64-url-safe-encoded raw public key bytes of the issuer. */
  readonly CertIssuerPublicKey?: string | undefined;
}

export type NodeState = string;

export type SwarmSpec = Readonly<Record<string, unknown>>;

export type ClusterInfo = {
  /** The ID of the swarm. */
  readonly ID?: string | undefined;
  readonly Version?: ObjectVersion | undefined;
  /** Date and time at which the swarm was initialised in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly CreatedAt?: string | undefined;
  /** Date and time at which the swarm was last updated in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly UpdatedAt?: string | undefined;
  readonly Spec?: SwarmSpec | undefined;
  readonly TLSInfo?: TLSInfo | undefined;
  /** Whether there is currently a root CA rotation in progress for the swarm */
  readonly RootRotationInProgress?: boolean | undefined;
  readonly DataPathPort?: number | undefined;
  /** Default Address Pool specifies default subnet pools for global scope networks. */
  readonly DefaultAddrPool?: readonly string[] | null | undefined;
  /** SubnetSize specifies the subnet size of the networks created from the default subnet pool. */
  readonly SubnetSize?: number | undefined;
} | null;

export type TaskSpec = Readonly<Record<string, unknown>>;

export interface ImageDeleteResponseItem {
  /** The image ID of an image that was untagged */
  readonly Untagged?: string | undefined;
  /** The image ID of an image that was deleted */
  readonly Deleted?: string | undefined;
}

export interface ContainerInspectResponse {
  /** The ID of this container as a 128-bit (64-character) hexadecimal string (32 bytes). */
  readonly Id?: string | undefined;
  /** Date and time at which the container was created, formatted in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly Created?: string | null | undefined;
  /** The path to the command being run */
  readonly Path?: string | undefined;
  /** The arguments to the command being run */
  readonly Args?: readonly string[] | null | undefined;
  readonly State?: ContainerState | undefined;
  /** The ID (digest) of the image that this container was created from. */
  readonly Image?: string | undefined;
  /** Location of the `/etc/resolv.conf` generated for the container on the host. */
  readonly ResolvConfPath?: string | undefined;
  /** Location of the `/etc/hostname` generated for the container on the host. */
  readonly HostnamePath?: string | undefined;
  /** Location of the `/etc/hosts` generated for the container on the host. */
  readonly HostsPath?: string | undefined;
  /** Location of the file used to buffer the container's logs. Depending on the logging-driver used for the container, this field may be omitted. */
  readonly LogPath?: string | null | undefined;
  /** The name associated with this container. */
  readonly Name?: string | undefined;
  /** Number of times the container was restarted since it was created, or since daemon was started. */
  readonly RestartCount?: number | undefined;
  /** The storage-driver used for the container's filesystem (graph-driver or snapshotter). */
  readonly Driver?: string | undefined;
  /** The platform (operating system) for which the container was created. */
  readonly Platform?: string | undefined;
  /** OCI descriptor of the platform-specific manifest of the image the container was created from. */
  readonly ImageManifestDescriptor?: OCIDescriptor | undefined;
  /** SELinux mount label set for the container. */
  readonly MountLabel?: string | undefined;
  /** SELinux process label set for the container. */
  readonly ProcessLabel?: string | undefined;
  /** The AppArmor profile set for the container. */
  readonly AppArmorProfile?: string | undefined;
  /** IDs of exec instances that are running in the container. */
  readonly ExecIDs?: readonly string[] | null | null | undefined;
  readonly HostConfig?: HostConfig | undefined;
  readonly GraphDriver?: DriverData | null | undefined;
  readonly Storage?: Storage | null | undefined;
  /** The size of files that have been created or changed by this container. */
  readonly SizeRw?: number | null | undefined;
  /** The total size of all files in the read-only layers from the image that the container uses. These layers can be shared between containers. */
  readonly SizeRootFs?: number | null | undefined;
  /** List of mounts used by the container. */
  readonly Mounts?: readonly MountPoint[] | null | undefined;
  readonly Config?: ContainerConfig | undefined;
  readonly NetworkSettings?: NetworkSettings | undefined;
}

export interface ContainerSummary {
  /** The ID of this container as a 128-bit (64-character) hexadecimal string (32 bytes). */
  readonly Id?: string | undefined;
  /** The names associated with this container. Most containers have a single name, but when using legacy "links", the container can have multiple names. */
  readonly Names?: readonly string[] | null | undefined;
  /** The name or ID of the image used to create the container. */
  readonly Image?: string | undefined;
  /** The ID (digest) of the image that this container was created from. */
  readonly ImageID?: string | undefined;
  /** OCI descriptor of the platform-specific manifest of the image the container was created from. */
  readonly ImageManifestDescriptor?: OCIDescriptor | null | undefined;
  /** Command to run when starting the container */
  readonly Command?: string | undefined;
  /** Date and time at which the container was created as a Unix timestamp (number of seconds since EPOCH). */
  readonly Created?: number | undefined;
  /** Port-mappings for the container. */
  readonly Ports?: readonly PortSummary[] | null | undefined;
  /** The size of files that have been created or changed by this container. */
  readonly SizeRw?: number | null | undefined;
  /** The total size of all files in the read-only layers from the image that the container uses. These layers can be shared between containers. */
  readonly SizeRootFs?: number | null | undefined;
  /** User-defined key/value metadata. */
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  /** The state of this container. */
  readonly State?: string | undefined;
  /** Additional human-readable status of this container (e.g. `Exit 0`) */
  readonly Status?: string | undefined;
  readonly HostConfig?: {
    /** Networking mode (`host`, `none`, `container:<id>`) or name of the primary network the container is using. */
    readonly NetworkMode?: string | undefined;
    /** Arbitrary key-value metadata attached to the container. */
    readonly Annotations?: Readonly<Record<string, string>> | null | null | undefined;
  } | undefined;
  /** Summary of the container's network settings */
  readonly NetworkSettings?: {
    /** Summary of network-settings for each network the container is attached to. */
    readonly Networks?: Readonly<Record<string, EndpointSettings>> | null | undefined;
  } | undefined;
  /** List of mounts used by the container. */
  readonly Mounts?: readonly MountPoint[] | null | undefined;
  /** Summary of health status */
  readonly Health?: {
    /** the health status of the container */
    readonly Status?: string | undefined;
    /** FailingStreak is the number of consecutive failures */
    readonly FailingStreak?: number | undefined;
  } | undefined;
}

export interface ContainersDiskUsage {
  /** Count of active containers. */
  readonly ActiveCount?: number | undefined;
  /** Count of all containers. */
  readonly TotalCount?: number | undefined;
  /** Disk space that can be reclaimed by removing inactive containers. */
  readonly Reclaimable?: number | undefined;
  /** Disk space in use by containers. */
  readonly TotalSize?: number | undefined;
  /** List of container summaries. */
  readonly Items?: readonly (Readonly<Record<string, unknown>>)[] | null | undefined;
}

export interface Driver {
  /** Name of the driver. */
  readonly Name?: string | undefined;
  /** Key/value map of driver-specific options. */
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
}

export type ContainerState = {
  /** String representation of the container state. Can be one of "created", "running", "paused", "restarting", "removing", "exited", or "dead". */
  readonly Status?: string | undefined;
  /** Whether this container is running. */
  readonly Running?: boolean | undefined;
  /** Whether this container is paused. */
  readonly Paused?: boolean | undefined;
  /** Whether this container is restarting. */
  readonly Restarting?: boolean | undefined;
  /** Whether a process within this container has been killed because it ran out of memory since the container was last started. */
  readonly OOMKilled?: boolean | undefined;
  readonly Dead?: boolean | undefined;
  /** The process ID of this container */
  readonly Pid?: number | undefined;
  /** The last exit code of this container */
  readonly ExitCode?: number | undefined;
  readonly Error?: string | undefined;
  /** The time when this container was last started. */
  readonly StartedAt?: string | undefined;
  /** The time when this container last exited. */
  readonly FinishedAt?: string | undefined;
  readonly Health?: Health | undefined;
} | null;

export interface ContainerCreateResponse {
  /** The ID of the created container */
  readonly Id?: string | undefined;
  /** Warnings encountered when creating the container */
  readonly Warnings?: readonly string[] | null | undefined;
}

export interface ContainerUpdateResponse {
  /** Warnings encountered when updating the container. */
  readonly Warnings?: readonly string[] | null | undefined;
}

export interface ContainerStatsResponse {
  /** ID of the container for which the stats were collected. */
  readonly id?: string | null | undefined;
  /** Name of the container for which the stats were collected. */
  readonly name?: string | null | undefined;
  /** OSType is the OS of the container ("linux" or "windows") to allow platform-specific handling of stats. */
  readonly os_type?: string | null | undefined;
  /** Date and time at which this sample was collected. The value is formatted as [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) with nano-seconds. */
  readonly read?: string | undefined;
  readonly cpu_stats?: ContainerCPUStats | undefined;
  readonly memory_stats?: ContainerMemoryStats | undefined;
  /** Network statistics for the container per interface. */
  readonly networks?: Readonly<Record<string, ContainerNetworkStats>> | null | null | undefined;
  readonly pids_stats?: ContainerPidsStats | undefined;
  readonly blkio_stats?: ContainerBlkioStats | undefined;
  /** The number of processors on the system. */
  readonly num_procs?: number | undefined;
  readonly storage_stats?: ContainerStorageStats | undefined;
  readonly preread?: string | undefined;
  readonly precpu_stats?: ContainerCPUStats | undefined;
}

export type ContainerBlkioStats = {
  readonly io_service_bytes_recursive?: readonly ContainerBlkioStatEntry[] | null | undefined;
  /** This field is only available when using Linux containers with cgroups v1. It is omitted or `null` when using cgroups v2. */
  readonly io_serviced_recursive?: readonly ContainerBlkioStatEntry[] | null | null | undefined;
  /** This field is only available when using Linux containers with cgroups v1. It is omitted or `null` when using cgroups v2. */
  readonly io_queue_recursive?: readonly ContainerBlkioStatEntry[] | null | null | undefined;
  /** This field is only available when using Linux containers with cgroups v1. It is omitted or `null` when using cgroups v2. */
  readonly io_service_time_recursive?: readonly ContainerBlkioStatEntry[] | null | null | undefined;
  /** This field is only available when using Linux containers with cgroups v1. It is omitted or `null` when using cgroups v2. */
  readonly io_wait_time_recursive?: readonly ContainerBlkioStatEntry[] | null | null | undefined;
  /** This field is only available when using Linux containers with cgroups v1. It is omitted or `null` when using cgroups v2. */
  readonly io_merged_recursive?: readonly ContainerBlkioStatEntry[] | null | null | undefined;
  /** This field is only available when using Linux containers with cgroups v1. It is omitted or `null` when using cgroups v2. */
  readonly io_time_recursive?: readonly ContainerBlkioStatEntry[] | null | null | undefined;
  /** This field is only available when using Linux containers with cgroups v1. It is omitted or `null` when using cgroups v2. */
  readonly sectors_recursive?: readonly ContainerBlkioStatEntry[] | null | null | undefined;
} | null;

export type ContainerBlkioStatEntry = {
  readonly major?: number | undefined;
  readonly minor?: number | undefined;
  readonly op?: string | undefined;
  readonly value?: number | undefined;
} | null;

export type ContainerCPUStats = {
  readonly cpu_usage?: ContainerCPUUsage | undefined;
  /** System Usage. */
  readonly system_cpu_usage?: number | null | undefined;
  /** Number of online CPUs. */
  readonly online_cpus?: number | null | undefined;
  readonly throttling_data?: ContainerThrottlingData | undefined;
} | null;

export type ContainerCPUUsage = {
  /** Total CPU time consumed in nanoseconds (Linux) or 100's of nanoseconds (Windows). */
  readonly total_usage?: number | undefined;
  /** Total CPU time (in nanoseconds) consumed per core (Linux). */
  readonly percpu_usage?: readonly number[] | null | null | undefined;
  readonly usage_in_kernelmode?: number | undefined;
  readonly usage_in_usermode?: number | undefined;
} | null;

export type ContainerPidsStats = {
  /** Current is the number of PIDs in the cgroup. */
  readonly current?: number | null | undefined;
  /** Limit is the hard limit on the number of pids in the cgroup. A "Limit" of 0 means that there is no limit. */
  readonly limit?: number | null | undefined;
} | null;

export type ContainerThrottlingData = {
  /** Number of periods with throttling active. */
  readonly periods?: number | undefined;
  /** Number of periods when the container hit its throttling limit. */
  readonly throttled_periods?: number | undefined;
  /** Aggregated time (in nanoseconds) the container was throttled for. */
  readonly throttled_time?: number | undefined;
} | null;

export interface ContainerMemoryStats {
  /** Current `res_counter` usage for memory. */
  readonly usage?: number | null | undefined;
  /** Maximum usage ever recorded. */
  readonly max_usage?: number | null | undefined;
  /** All the stats exported via memory.stat. */
  readonly stats?: Readonly<Record<string, number | null>> | null | undefined;
  /** Number of times memory usage hits limits. */
  readonly failcnt?: number | null | undefined;
  /** This field is Linux-specific and omitted for Windows containers. */
  readonly limit?: number | null | undefined;
  /** Committed bytes. */
  readonly commitbytes?: number | null | undefined;
  /** Peak committed bytes. */
  readonly commitpeakbytes?: number | null | undefined;
  /** Private working set. */
  readonly privateworkingset?: number | null | undefined;
}

export type ContainerNetworkStats = {
  /** Bytes received. Windows and Linux. */
  readonly rx_bytes?: number | undefined;
  /** Packets received. Windows and Linux. */
  readonly rx_packets?: number | undefined;
  /** Received errors. Not used on Windows. */
  readonly rx_errors?: number | undefined;
  /** Incoming packets dropped. Windows and Linux. */
  readonly rx_dropped?: number | undefined;
  /** Bytes sent. Windows and Linux. */
  readonly tx_bytes?: number | undefined;
  /** Packets sent. Windows and Linux. */
  readonly tx_packets?: number | undefined;
  /** Sent errors. Not used on Windows. */
  readonly tx_errors?: number | undefined;
  /** Outgoing packets dropped. Windows and Linux. */
  readonly tx_dropped?: number | undefined;
  /** Endpoint ID. Not used on Linux. */
  readonly endpoint_id?: string | null | undefined;
  /** Instance ID. Not used on Linux. */
  readonly instance_id?: string | null | undefined;
} | null;

export type ContainerStorageStats = {
  readonly read_count_normalized?: number | null | undefined;
  readonly read_size_bytes?: number | null | undefined;
  readonly write_count_normalized?: number | null | undefined;
  readonly write_size_bytes?: number | null | undefined;
} | null;

export interface ContainerTopResponse {
  /** The ps column titles */
  readonly Titles?: readonly string[] | null | undefined;
  /** Each process running in the container, where each process is an array of values corresponding to the titles. */
  readonly Processes?: readonly (readonly string[] | null)[] | null | undefined;
}

export interface ContainerWaitResponse {
  /** Exit code of the container */
  readonly StatusCode?: number | undefined;
  readonly Error?: ContainerWaitExitError | undefined;
}

export interface ContainerWaitExitError {
  /** Details of an error */
  readonly Message?: string | undefined;
}

export interface SystemVersion {
  readonly Platform?: {
    readonly Name?: string | undefined;
  } | undefined;
  /** Information about system components */
  readonly Components?: readonly ({
    /** Name of the component */
    readonly Name?: string | undefined;
    /** Version of the component */
    readonly Version?: string | undefined;
    readonly Details?: Readonly<Record<string, unknown>> | null | undefined;
  })[] | null | undefined;
  /** The version of the daemon */
  readonly Version?: string | undefined;
  /** The default (and highest) API version that is supported by the daemon */
  readonly ApiVersion?: string | undefined;
  /** The minimum API version that is supported by the daemon */
  readonly MinAPIVersion?: string | undefined;
  /** The Git commit of the source code that was used to build the daemon */
  readonly GitCommit?: string | undefined;
  /** The version Go used to compile the daemon, and the version of the Go runtime in use. */
  readonly GoVersion?: string | undefined;
  /** The operating system that the daemon is running on ("linux" or "windows") */
  readonly Os?: string | undefined;
  /** Architecture of the daemon, as returned by the Go runtime (`GOARCH`). */
  readonly Arch?: string | undefined;
  /** The kernel version (`uname -r`) that the daemon is running on. */
  readonly KernelVersion?: string | undefined;
  /** Indicates if the daemon is started with experimental features enabled. */
  readonly Experimental?: boolean | undefined;
  /** The date and time that the daemon was compiled. */
  readonly BuildTime?: string | undefined;
}

export interface SystemInfo {
  /** Unique identifier of the daemon. */
  readonly ID?: string | undefined;
  /** Total number of containers on the host. */
  readonly Containers?: number | undefined;
  /** Number of containers with status `"running"`. */
  readonly ContainersRunning?: number | undefined;
  /** Number of containers with status `"paused"`. */
  readonly ContainersPaused?: number | undefined;
  /** Number of containers with status `"stopped"`. */
  readonly ContainersStopped?: number | undefined;
  /** Total number of images on the host. */
  readonly Images?: number | undefined;
  /** Name of the storage driver in use. */
  readonly Driver?: string | undefined;
  /** Information specific to the storage driver, provided as "label" / "value" pairs. */
  readonly DriverStatus?: readonly (readonly string[] | null)[] | null | undefined;
  /** Root directory of persistent Docker state. */
  readonly DockerRootDir?: string | undefined;
  readonly Plugins?: PluginsInfo | undefined;
  /** Indicates if the host has memory limit support enabled. */
  readonly MemoryLimit?: boolean | undefined;
  /** Indicates if the host has memory swap limit support enabled. */
  readonly SwapLimit?: boolean | undefined;
  /** Indicates if CPU CFS(Completely Fair Scheduler) period is supported by the host. */
  readonly CpuCfsPeriod?: boolean | undefined;
  /** Indicates if CPU CFS(Completely Fair Scheduler) quota is supported by the host. */
  readonly CpuCfsQuota?: boolean | undefined;
  /** Indicates if CPU Shares limiting is supported by the host. */
  readonly CPUShares?: boolean | undefined;
  /** Indicates if CPUsets (cpuset.cpus, cpuset.mems) are supported by the host. */
  readonly CPUSet?: boolean | undefined;
  /** Indicates if the host kernel has PID limit support enabled. */
  readonly PidsLimit?: boolean | undefined;
  /** Indicates if OOM killer disable is supported on the host. */
  readonly OomKillDisable?: boolean | undefined;
  /** Indicates IPv4 forwarding is enabled. */
  readonly IPv4Forwarding?: boolean | undefined;
  /** Indicates if the daemon is running in debug-mode / with debug-level logging enabled. */
  readonly Debug?: boolean | undefined;
  /** The total number of file Descriptors in use by the daemon process. */
  readonly NFd?: number | undefined;
  /** The number of goroutines that currently exist. */
  readonly NGoroutines?: number | undefined;
  /** Current system-time in [RFC 3339](https://www.ietf.org/rfc/rfc3339.txt) format with nano-seconds. */
  readonly SystemTime?: string | undefined;
  /** The logging driver to use as a default for new containers. */
  readonly LoggingDriver?: string | undefined;
  /** The driver to use for managing cgroups. */
  readonly CgroupDriver?: string | undefined;
  /** The version of the cgroup. */
  readonly CgroupVersion?: string | undefined;
  /** Number of event listeners subscribed. */
  readonly NEventsListener?: number | undefined;
  /** Kernel version of the host. */
  readonly KernelVersion?: string | undefined;
  /** Name of the host's operating system, for example: "Ubuntu 24.04 LTS" or "Windows Server 2016 Datacenter" */
  readonly OperatingSystem?: string | undefined;
  /** Version of the host's operating system */
  readonly OSVersion?: string | undefined;
  /** Generic type of the operating system of the host, as returned by the Go runtime (`GOOS`). */
  readonly OSType?: string | undefined;
  /** Hardware architecture of the host, as returned by the operating system. This is equivalent to the output of `uname -m` on Linux. */
  readonly Architecture?: string | undefined;
  /** The number of logical CPUs usable by the daemon. */
  readonly NCPU?: number | undefined;
  /** Total amount of physical memory available on the host, in bytes. */
  readonly MemTotal?: number | undefined;
  /** Address / URL of the index server that is used for image search, and as a default for user authentication for Docker Hub and Docker Cloud. */
  readonly IndexServerAddress?: string | undefined;
  readonly RegistryConfig?: RegistryServiceConfig | undefined;
  readonly GenericResources?: GenericResources | undefined;
  readonly HttpProxy?: string | undefined;
  readonly HttpsProxy?: string | undefined;
  readonly NoProxy?: string | undefined;
  /** Hostname of the host. */
  readonly Name?: string | undefined;
  /** User-defined labels (key/value metadata) as set on the daemon. */
  readonly Labels?: readonly string[] | null | undefined;
  /** Indicates if experimental features are enabled on the daemon. */
  readonly ExperimentalBuild?: boolean | undefined;
  /** Version string of the daemon. */
  readonly ServerVersion?: string | undefined;
  /** List of [OCI compliant](https://github.com/opencontainers/runtime-spec) runtimes configured on the daemon. Keys hold the "name" used to reference the runtime. */
  readonly Runtimes?: Readonly<Record<string, Runtime>> | null | undefined;
  /** Name of the default OCI runtime that is used when starting containers. */
  readonly DefaultRuntime?: string | undefined;
  readonly Swarm?: SwarmInfo | undefined;
  /** Indicates if live restore is enabled. */
  readonly LiveRestoreEnabled?: boolean | undefined;
  /** Represents the isolation technology to use as a default for containers. The supported values are platform-specific. */
  readonly Isolation?: string | undefined;
  /** Name and, optional, path of the `docker-init` binary. */
  readonly InitBinary?: string | undefined;
  readonly ContainerdCommit?: Commit | undefined;
  readonly RuncCommit?: Commit | undefined;
  readonly InitCommit?: Commit | undefined;
  /** List of security features that are enabled on the daemon, such as apparmor, seccomp, SELinux, user-namespaces (userns), rootless and no-new-privileges. */
  readonly SecurityOptions?: readonly string[] | null | undefined;
  /** Reports a summary of the product license on the daemon. */
  readonly ProductLicense?: string | undefined;
  /** List of custom default address pools for local networks, which can be specified in the daemon.json file or dockerd option. */
  readonly DefaultAddressPools?: readonly ({
    /** The network address in CIDR format */
    readonly Base?: string | undefined;
    /** The network pool size */
    readonly Size?: number | undefined;
  })[] | null | undefined;
  readonly FirewallBackend?: FirewallInfo | undefined;
  /** List of devices discovered by device drivers. */
  readonly DiscoveredDevices?: readonly DeviceInfo[] | null | undefined;
  readonly NRI?: NRIInfo | undefined;
  /** List of warnings / informational messages about missing features, or issues related to the daemon configuration. */
  readonly Warnings?: readonly string[] | null | undefined;
  /** List of directories where (Container Device Interface) CDI specifications are located. */
  readonly CDISpecDirs?: readonly string[] | null | undefined;
  readonly Containerd?: ContainerdInfo | undefined;
}

export type ContainerdInfo = {
  /** The address of the containerd socket. */
  readonly Address?: string | undefined;
  readonly Namespaces?: {
    /** The default containerd namespace used for containers managed by the daemon. */
    readonly Containers?: string | undefined;
    /** The default containerd namespace used for plugins managed by the daemon. */
    readonly Plugins?: string | undefined;
  } | undefined;
} | null;

export type FirewallInfo = {
  /** The name of the firewall backend driver. */
  readonly Driver?: string | undefined;
  /** Information about the firewall backend, provided as "label" / "value" pairs. */
  readonly Info?: readonly (readonly string[] | null)[] | null | undefined;
} | null;

export interface PluginsInfo {
  /** Names of available volume-drivers, and network-driver plugins. */
  readonly Volume?: readonly string[] | null | undefined;
  /** Names of available network-drivers, and network-driver plugins. */
  readonly Network?: readonly string[] | null | undefined;
  /** Names of available authorization plugins. */
  readonly Authorization?: readonly string[] | null | undefined;
  /** Names of available logging-drivers, and logging-driver plugins. */
  readonly Log?: readonly string[] | null | undefined;
}

export type RegistryServiceConfig = {
  readonly InsecureRegistryCIDRs?: readonly string[] | null | undefined;
  readonly IndexConfigs?: Readonly<Record<string, IndexInfo>> | null | undefined;
  /** List of registry URLs that act as a mirror for the official (`docker.io`) registry. */
  readonly Mirrors?: readonly string[] | null | undefined;
} | null;

export type IndexInfo = {
  /** Name of the registry, such as "docker.io". */
  readonly Name?: string | undefined;
  /** List of mirrors, expressed as URIs. */
  readonly Mirrors?: readonly string[] | null | undefined;
  /** Indicates if the registry is part of the list of insecure registries. */
  readonly Secure?: boolean | undefined;
  /** Indicates whether this is an official registry (i.e., Docker Hub / docker.io) */
  readonly Official?: boolean | undefined;
} | null;

export interface Runtime {
  /** Name and, optional, path, of the OCI executable binary. */
  readonly path?: string | undefined;
  /** List of command-line arguments to pass to the runtime when invoked. */
  readonly runtimeArgs?: readonly string[] | null | null | undefined;
  /** Information specific to the runtime. */
  readonly status?: Readonly<Record<string, string>> | null | null | undefined;
}

export interface Commit {
  /** Actual commit ID of external tool. */
  readonly ID?: string | undefined;
}

export interface SwarmInfo {
  /** Unique identifier of for this node in the swarm. */
  readonly NodeID?: string | undefined;
  /** IP address at which this node can be reached by other nodes in the swarm. */
  readonly NodeAddr?: string | undefined;
  readonly LocalNodeState?: LocalNodeState | undefined;
  readonly ControlAvailable?: boolean | undefined;
  readonly Error?: string | undefined;
  /** List of ID's and addresses of other managers in the swarm. */
  readonly RemoteManagers?: readonly PeerNode[] | null | null | undefined;
  /** Total number of nodes in the swarm. */
  readonly Nodes?: number | null | undefined;
  /** Total number of managers in the swarm. */
  readonly Managers?: number | null | undefined;
  readonly Cluster?: ClusterInfo | undefined;
}

export type LocalNodeState = string;

export interface PeerNode {
  /** Unique identifier of for this node in the swarm. */
  readonly NodeID?: string | undefined;
  /** IP address and ports at which this node can be reached. */
  readonly Addr?: string | undefined;
}

export interface NetworkAttachmentConfig {
  /** The target network for attachment. Must be a network name or ID. */
  readonly Target?: string | undefined;
  /** Discoverable alternate names for the service on this network. */
  readonly Aliases?: readonly string[] | null | undefined;
  /** Driver attachment options for the network target. */
  readonly DriverOpts?: Readonly<Record<string, string>> | null | undefined;
}

export interface EventActor {
  /** The ID of the object emitting the event */
  readonly ID?: string | undefined;
  /** Various key/value attributes of the object, depending on its type. */
  readonly Attributes?: Readonly<Record<string, string>> | null | undefined;
}

export interface EventMessage {
  /** The type of object emitting the event */
  readonly Type?: string | undefined;
  /** The type of event */
  readonly Action?: string | undefined;
  readonly Actor?: EventActor | undefined;
  /** Scope of the event. Engine events are `local` scope. Cluster (Swarm) events are `swarm` scope. */
  readonly scope?: string | undefined;
  /** Timestamp of event */
  readonly time?: number | undefined;
  /** Timestamp of event, with nanosecond accuracy */
  readonly timeNano?: number | undefined;
}

export interface OCIDescriptor {
  /** The media type of the object this schema refers to. */
  readonly mediaType?: string | undefined;
  /** The digest of the targeted content. */
  readonly digest?: string | undefined;
  /** The size in bytes of the blob. */
  readonly size?: number | undefined;
  /** List of URLs from which this object MAY be downloaded. */
  readonly urls?: readonly string[] | null | null | undefined;
  /** Arbitrary metadata relating to the targeted content. */
  readonly annotations?: Readonly<Record<string, string>> | null | null | undefined;
  readonly data?: string | null | undefined;
  readonly platform?: OCIPlatform | undefined;
  /** ArtifactType is the IANA media type of this artifact. */
  readonly artifactType?: string | null | undefined;
}

export type OCIPlatform = {
  /** The CPU architecture, for example `amd64` or `ppc64`. */
  readonly architecture?: string | undefined;
  /** The operating system, for example `linux` or `windows`. */
  readonly os?: string | undefined;
  /** Optional field specifying the operating system version, for example on Windows `10.0.19041.1165`. */
  readonly "os.version"?: string | undefined;
  /** Optional field specifying an array of strings, each listing a required OS feature (for example on Windows `win32k`). */
  readonly "os.features"?: readonly string[] | null | undefined;
  /** Optional field specifying a variant of the CPU, for example `v7` to specify ARMv7 when architecture is `arm`. */
  readonly variant?: string | undefined;
} | null;

export interface DistributionInspect {
  readonly Descriptor?: OCIDescriptor | undefined;
  /** An array containing all platforms supported by the image. */
  readonly Platforms?: readonly OCIPlatform[] | null | undefined;
}

export type ClusterVolume = Readonly<Record<string, unknown>>;

export type ClusterVolumeSpec = Readonly<Record<string, unknown>>;

export interface AttestationStatement {
  readonly Descriptor?: OCIDescriptor | undefined;
  /** The in-toto predicate type URI of this statement. */
  readonly PredicateType?: string | undefined;
  /** The verbatim in-toto statement JSON. Only included when the caller opts in via the `statement=true` query parameter; otherwise absent. */
  readonly Statement?: Readonly<Record<string, unknown>> | null | undefined;
}

export interface ImageManifestSummary {
  /** ID is the content-addressable ID of an image and is the same as the digest of the image manifest. */
  readonly ID?: string | undefined;
  readonly Descriptor?: OCIDescriptor | undefined;
  /** Indicates whether all the child content (image config, layers) is fully available locally. */
  readonly Available?: boolean | undefined;
  readonly Size?: {
    readonly Total?: number | undefined;
    readonly Content?: number | undefined;
  } | undefined;
  /** The kind of the manifest. */
  readonly Kind?: string | undefined;
  /** The image data for the image manifest. This field is only populated when Kind is "image". */
  readonly ImageData?: {
    readonly Platform?: OCIPlatform | undefined;
    readonly Identity?: Identity | null | undefined;
    /** The IDs of the containers that are using this image. */
    readonly Containers?: readonly string[] | null | undefined;
    readonly Size?: {
      readonly Unpacked?: number | undefined;
    } | undefined;
  } | null | undefined;
  /** The image data for the attestation manifest. This field is only populated when Kind is "attestation". */
  readonly AttestationData?: {
    /** The digest of the image manifest that this attestation is for. */
    readonly For?: string | undefined;
  } | null | undefined;
}
