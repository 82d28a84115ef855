// Reads a JSON list of manifests for the Prometheus operator, and writes a JSON list of what is wrong with each.
// Its argument is the folder that has node_modules in it.
//
// The models accept keys that do not exist, which the operator's API server would drop. But they look at each key
// that they know: a key that nobody looked at does not exist.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const models = join(resolve(process.argv[2]), "node_modules/@kubernetes-models/prometheus-operator");

function watch(value, path, unseen) {
  if (value === null || typeof value !== "object") return value;
  const children = Array.isArray(value) ? [] : {};
  for (const [key, child] of Object.entries(value)) {
    const childPath = `${path}/${key}`;
    children[key] = watch(child, childPath, unseen);
    unseen.add(childPath);
  }
  return new Proxy(children, {
    get(target, key) {
      unseen.delete(`${path}/${String(key)}`);
      return target[key];
    },
  });
}

async function findFaults(manifest) {
  const [group, version] = manifest.apiVersion.split("/");
  const file = `ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoring${version.toUpperCase()}${manifest.kind}.js`;
  const { validate } = await import(pathToFileURL(join(models, "_schemas", file)));
  const unseen = new Set();
  if (!validate(watch(manifest, "", unseen))) {
    return validate.errors.map(({ instancePath, keyword, params }) => `${instancePath}: ${keyword} ${JSON.stringify(params)}`);
  }
  return [...unseen].map((path) => `${path}: does not exist`);
}

const manifests = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(await Promise.all(manifests.map(findFaults))));
