/** What a page shows when it has nothing to show: not yet, not at all, or not any more. */
import type { ReactNode } from 'react';

export function Loading({ what }: { what: string }) {
  return (
    <div className="loading" role="status">
      <span className="hidden">{`Loading ${what}…`}</span>
      <div className="bone" />
      <div className="bone" />
      <div className="bone" />
    </div>
  );
}

export function Failure({ message, again }: { message: string; again: () => void }) {
  return (
    <div className="state" role="alert">
      <h2>This did not load</h2>
      <p>{message}</p>
      <button type="button" className="main" onClick={again}>Try again</button>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="state">
      <h2>{title}</h2>
      {children}
    </div>
  );
}
