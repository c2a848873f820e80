/** dhow's own version. */
export const VERSION = "0.1.0";

/** The newest and the oldest version of Docker's Engine API that are served. */
export const API_VERSION = "1.56";
export const MIN_API_VERSION = "1.24";
/** The Docker release whose behaviour and words are followed; some clients decide by a version of this form. */
export const DOCKER_VERSION = "29.0.0";
