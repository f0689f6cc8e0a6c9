/** The colors offered for a habit. The stylesheet lightens them in the dark. */
export const COLORS = [
  { value: '#2f7d5b', name: 'Green' },
  { value: '#1f7f86', name: 'Teal' },
  { value: '#2f6feb', name: 'Blue' },
  { value: '#6457c9', name: 'Violet' },
  { value: '#9a4fae', name: 'Plum' },
  { value: '#c2476b', name: 'Rose' },
  { value: '#b4562c', name: 'Clay' },
  { value: '#94700f', name: 'Ochre' },
] as const;

export const FIRST_COLOR = COLORS[0].value;
