/** The address bar as state: one listener, one context, links that are real links. */
import { createContext, useContext, useEffect, useMemo, useState } from 'react';
import type { AnchorHTMLAttributes, MouseEvent, ReactNode } from 'react';

interface Place {
  path: string;
  query: URLSearchParams;
  /** How often the place has changed since the page was loaded. */
  moves: number;
}

interface Navigation extends Place {
  navigate: (to: string, options?: { replace?: boolean }) => void;
}

const NavigationContext = createContext<Navigation | null>(null);

function here(moves: number): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search), moves };
}

export function Router({ children }: { children: ReactNode }) {
  const [place, setPlace] = useState(() => here(0));
  useEffect(() => {
    const onPop = () => setPlace(({ moves }) => here(moves + 1));
    addEventListener('popstate', onPop);
    return () => removeEventListener('popstate', onPop);
  }, []);
  const navigation = useMemo<Navigation>(
    () => ({
      ...place,
      navigate(to, { replace = false } = {}) {
        history[replace ? 'replaceState' : 'pushState'](null, '', to);
        setPlace(({ moves }) => here(moves + 1));
      },
    }),
    [place],
  );
  return <NavigationContext.Provider value={navigation}>{children}</NavigationContext.Provider>;
}

export function useNavigation(): Navigation {
  const navigation = useContext(NavigationContext);
  if (navigation === null) throw new Error('useNavigation outside of Router');
  return navigation;
}

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & { to: string };

export function Link({ to, children, onClick, ...rest }: LinkProps) {
  const { navigate, path } = useNavigation();
  function follow(event: MouseEvent<HTMLAnchorElement>) {
    onClick?.(event);
    const forBrowser = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0;
    if (event.defaultPrevented || forBrowser) return;
    event.preventDefault();
    navigate(to);
  }
  return (
    <a href={to} onClick={follow} aria-current={path === to ? 'page' : undefined} {...rest}>
      {children}
    </a>
  );
}
