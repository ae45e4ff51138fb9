import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

import { apiDocs } from './plugins/api-docs.ts'
import { contentSecurityPolicy } from './plugins/content-security-policy.ts'

export default defineConfig({
  // Relative addresses: the page works at / and below any sub-path of a proxy.
  base: './',
  plugins: [react(), apiDocs(), contentSecurityPolicy()],
  build: {
    outDir: '../xinfer/api/static',
    emptyOutDir: true,
    chunkSizeWarningLimit: 1000,
    license: { fileName: 'licenses.md' },
  },
  // `npm run dev` serves the page with reload on change, against a server on the default port.
  server: {
    proxy: { '/v1': 'http://127.0.0.1:9997', '/status': 'http://127.0.0.1:9997' },
  },
})
