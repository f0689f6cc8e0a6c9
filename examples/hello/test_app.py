import unittest

from app import GREETINGS, greet


class GreetTest(unittest.TestCase):
    def test_greets_by_name(self):
        self.assertEqual(greet("Ana", 0), "Hello, Ana")

    def test_every_visitor_is_greeted(self):
        for number in range(20):
            self.assertIn(greet("Ana", number).split(",")[0], GREETINGS)


if __name__ == "__main__":
    unittest.main()
