/** Names under which `reports/` keeps what the pipeline reads. */
const reports = 'reports';

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'jsdom',
  roots: ['<rootDir>/tests'],
  setupFilesAfterEnv: ['<rootDir>/tests/support/setup.ts'],
  moduleNameMapper: { '\\.css$': '<rootDir>/tests/support/empty.ts' },
  transform: {
    // Types are tsc's business (`npm run typecheck`): here they are only taken off.
    '\\.tsx?$': ['ts-jest', { diagnostics: false, tsconfig: 'tests/tsconfig.json' }],
  },
  restoreMocks: true,
  collectCoverageFrom: ['src/**/*.{ts,tsx}', '!src/main.tsx', '!src/**/*.d.ts'],
  coverageDirectory: `${reports}/coverage`,
  coverageReporters: ['text-summary', 'lcov', 'cobertura', 'json-summary'],
  coverageThreshold: { global: { lines: 80, branches: 80, functions: 80, statements: 80 } },
  reporters: [
    'default',
    ['jest-junit', { outputDirectory: reports, outputName: 'junit.xml', ancestorSeparator: ' › ', suiteNameTemplate: '{filepath}' }],
  ],
};
