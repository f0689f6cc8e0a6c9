import 'react';

declare module 'react' {
  interface CSSProperties {
    /** The color of a habit, which the stylesheet makes its shades from. */
    '--habit'?: string;
    /** The done part of a ring, 0 to 1. */
    '--done'?: number;
  }
}
