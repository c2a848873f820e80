import { connect } from "dhow";

const dhow = connect();

await using site = await dhow.volumes.create();
await using inside = await dhow.networks.create({ name: "inside", internal: true });
await using web = await dhow.containers.run({
  image: "busybox",
  command: "echo welcome > /www/index.html; echo starting; exec httpd -f -p 80 -h /www",
  mounts: [{ kind: "volume", source: site.name, target: "/www" }],
  ports: [80],
  health: { command: "wget -q -O /dev/null http://127.0.0.1/", intervalMs: 100, startPeriodMs: 5000 },
  init: true,
});

await web.waitForLog("starting");
await web.waitForHealthy({ signal: AbortSignal.timeout(20_000) });
console.log(`http://${web.host}:${await web.port(80)}/`);

// The way in from another container: a network, where it has a name.
await inside.connect(web, { aliases: ["site"] });
await using visitor = await dhow.containers.run({
  image: "busybox",
  command: ["wget", "-q", "-O", "-", "http://site/"],
  network: inside.name,
});
await visitor.wait();
console.log(await visitor.logs().text());
