/** The driver option of an endpoint that sets values of its interface: `net.ipv4.conf.IFNAME.log_martians=1,…`. */
export const ENDPOINT_SYSCTLS = "com.docker.network.endpoint.sysctls";
