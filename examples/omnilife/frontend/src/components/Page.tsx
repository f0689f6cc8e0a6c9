/** One page: its name in the window's title, and the heading where reading starts after a move. */
import { useEffect, useRef } from 'react';
import type { ReactNode } from 'react';
import { useNavigation } from '../lib/router';

interface PageProps {
  title: string;
  /** What the heading shows, if that is more than the title. */
  heading?: ReactNode;
  beside?: ReactNode;
  className?: string;
  children: ReactNode;
}

export function Page({ title, heading, beside, className = '', children }: PageProps) {
  const { moves } = useNavigation();
  const top = useRef<HTMLHeadingElement>(null);
  const movedHere = useRef(moves > 0);
  useEffect(() => {
    document.title = `${title} · OmniLife`;
  }, [title]);
  useEffect(() => {
    if (!movedHere.current) return;
    window.scrollTo(0, 0);
    // A field that asked for the focus itself keeps it.
    if (document.activeElement === null || document.activeElement === document.body) top.current?.focus();
  }, []);
  return (
    <main className={`page ${className}`}>
      <div className="page-top">
        <h1 ref={top} tabIndex={-1}>{heading ?? title}</h1>
        {beside}
      </div>
      {children}
    </main>
  );
}
