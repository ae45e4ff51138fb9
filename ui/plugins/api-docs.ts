import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import type { Plugin } from 'vite'

const FILES = [
  'swagger-ui-dist/swagger-ui-bundle.js',
  'swagger-ui-dist/swagger-ui.css',
  'swagger-ui-dist/favicon-32x32.png',
  'swagger-ui-dist/LICENSE',
  'redoc/bundles/redoc.standalone.js',
  'redoc/bundles/redoc.standalone.js.LICENSE.txt',
]
const RENAMED: Record<string, string> = { LICENSE: 'swagger-ui.LICENSE.txt' }

// Redoc fetches its logo from its makers' server and shows none when that fails.
const REMOTE_LOGO = 'https://cdn.redoc.ly/redoc/logo-mini.svg'

/** Copies what /docs and /redoc load into `docs/`, so that neither needs another server. */
export function apiDocs(): Plugin {
  const require = createRequire(import.meta.url)
  return {
    name: 'api-docs',
    apply: 'build',
    generateBundle() {
      for (const file of FILES) {
        const name = file.slice(file.lastIndexOf('/') + 1)
        const content = readFileSync(require.resolve(file))
        this.emitFile({
          type: 'asset',
          fileName: `docs/${RENAMED[name] ?? name}`,
          source: name === 'redoc.standalone.js' ? withoutRemoteLogo(content) : content,
        })
      }
    },
  }
}

function withoutRemoteLogo(bundle: Buffer): string {
  const source = bundle.toString('utf8')
  if (!source.includes(REMOTE_LOGO)) {
    throw new Error(`redoc no longer loads ${REMOTE_LOGO}; remove or adapt this replacement`)
  }
  return source.replaceAll(REMOTE_LOGO, 'data:,')
}
