import js from '@eslint/js';
import globals from 'globals';

const markup = 'Others wrote what this page shows: textContent only.';

export default [
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'no-shadow': 'error',
      'no-implied-eval': 'error',
      'no-eval': 'error',
      'no-console': 'error',
      'no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['public/*.js'],
    languageOptions: { sourceType: 'script', globals: globals.browser },
    rules: {
      'no-restricted-properties': [
        'error',
        { property: 'innerHTML', message: markup },
        { property: 'outerHTML', message: markup },
        { property: 'insertAdjacentHTML', message: markup },
        { object: 'document', property: 'write', message: markup },
        { object: 'crypto', property: 'randomUUID', message: 'Only there over HTTPS; getRandomValues always is.' },
      ],
      'no-alert': 'error',
    },
  },
  {
    files: ['test/*.mjs', 'eslint.config.js'],
    languageOptions: { globals: globals.node },
  },
  {
    // Functions given to `evaluate` run in the page.
    files: ['test/*.mjs'],
    languageOptions: { globals: { window: 'readonly', document: 'readonly', MutationObserver: 'readonly', KeyboardEvent: 'readonly' } },
  },
];
