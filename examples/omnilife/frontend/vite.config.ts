import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// In development the API is asked of the backend beside us, as the proxy does it in production.
const api = { '/api': { target: 'http://127.0.0.1:8001', changeOrigin: true } };

export default defineConfig({
  plugins: [react()],
  server: { host: '127.0.0.1', port: 3000, strictPort: true, proxy: api },
  build: {
    target: 'es2022',
    // Small files too are files of their own: the content security policy allows no data: scripts.
    assetsInlineLimit: 0,
    sourcemap: false,
    modulePreload: { polyfill: false },
  },
});
