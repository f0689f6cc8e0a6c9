/** What is around every page: the name, the search, the account, and which release this is. */
import { useEffect, useRef, useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { Link, useNavigation } from '../lib/router';
import { useRelease } from '../state/release';
import { useSession } from '../state/session';
import { THEMES, useTheme } from '../state/theme';
import { Icon } from './Icon';

export function Shell({ children }: { children: ReactNode }) {
  const { user } = useSession();
  return (
    <>
      <a className="skip" href="#content">Skip to the content</a>
      <header className="bar">
        <Link to="/" className="brand" aria-label="OmniLife, today">
          <Mark />
          <span>OmniLife</span>
        </Link>
        {user && <SearchBox />}
        {user ? <Account name={user.name} /> : <ThemeChoice />}
      </header>
      <div id="content" tabIndex={-1}>{children}</div>
      <Footer />
    </>
  );
}

function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="16" r="12" />
      <path d="M16 4a12 12 0 1 1-10.4 6" />
    </svg>
  );
}

function SearchBox() {
  const { path, query, navigate } = useNavigation();
  const [words, setWords] = useState(query.get('q') ?? '');
  const asked = path === '/search' ? (query.get('q') ?? '') : '';
  useEffect(() => setWords(asked), [asked]);
  function onSubmit(event: FormEvent) {
    event.preventDefault();
    if (words.trim() !== '') navigate(`/search?q=${encodeURIComponent(words.trim())}`);
  }
  return (
    <form role="search" className="search" onSubmit={onSubmit}>
      <Icon name="search" />
      <input
        type="search"
        aria-label="Search your habits and notes"
        placeholder="Search"
        maxLength={100}
        value={words}
        onChange={(event) => setWords(event.target.value)}
      />
    </form>
  );
}

function Account({ name }: { name: string }) {
  const { signOut } = useSession();
  const { navigate } = useNavigation();
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const onPress = (event: Event) => {
      const away = event instanceof KeyboardEvent ? event.key === 'Escape' : !menu.current?.contains(event.target as Node);
      if (away && menu.current?.open) {
        menu.current.open = false;
        if (event instanceof KeyboardEvent) menu.current.querySelector('summary')?.focus();
      }
    };
    document.addEventListener('pointerdown', onPress);
    document.addEventListener('keydown', onPress);
    return () => {
      document.removeEventListener('pointerdown', onPress);
      document.removeEventListener('keydown', onPress);
    };
  }, []);
  return (
    <details className="account" ref={menu}>
      <summary aria-label={`Account of ${name}`}><Icon name="person" /><span>{name}</span></summary>
      <div className="menu">
        <p className="who">{name}</p>
        <ThemeChoice />
        <button type="button" className="quiet" onClick={() => { navigate('/'); signOut(); }}>Sign out</button>
      </div>
    </details>
  );
}

function ThemeChoice() {
  const [theme, choose] = useTheme();
  return (
    <fieldset className="themes">
      <legend className="hidden">Colors of the page</legend>
      {THEMES.map((name) => (
        <label key={name}>
          <input type="radio" name="theme" value={name} checked={name === theme} onChange={() => choose(name)} />
          <span>{name[0]?.toUpperCase() + name.slice(1)}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Footer() {
  const release = useRelease();
  return (
    <footer className="foot">
      <span>OmniLife</span>
      {release && <span>Release <code>{release}</code></span>}
    </footer>
  );
}
