import { Page } from './components/Page';
import { Shell } from './components/Shell';
import { Empty } from './components/States';
import { Link, Router, useNavigation } from './lib/router';
import { SignIn, SignUp } from './pages/Account';
import { HabitPage } from './pages/HabitPage';
import { Search } from './pages/Search';
import { Today } from './pages/Today';
import { SessionProvider, useSession } from './state/session';
import { Toasts } from './state/toasts';
import { JournalProvider } from './state/useJournal';

export function App() {
  return (
    <Router>
      <Toasts>
        <SessionProvider>
          <Shell><Door /></Shell>
        </SessionProvider>
      </Toasts>
    </Router>
  );
}

/** Behind it are the pages of whoever is signed in; before it, only the two ways in. */
function Door() {
  const { user } = useSession();
  const { path } = useNavigation();
  if (user === null) return path === '/' || path === '/signup' ? <SignUp /> : <SignIn />;
  return <JournalProvider key={user.id}><Place path={path} /></JournalProvider>;
}

function Place({ path }: { path: string }) {
  const habit = /^\/habits\/(\d+)$/.exec(path)?.[1];
  if (habit !== undefined) return <HabitPage id={Number(habit)} />;
  switch (path) {
    case '/':
    case '/signin':
    case '/signup':
      return <Today />;
    case '/search':
      return <Search />;
    default:
      return (
        <Page title="No such page">
          <Empty title="There is nothing at this address">
            <Link to="/" className="button main">To today</Link>
          </Empty>
        </Page>
      );
  }
}
